// Tests that need something of the machine: a program, root, a device. In CI (`CI=true`) what is missing is one failing
// test that names it; elsewhere the suite is skipped, and the reason printed.
//
//   const suite = requirePeer("qemu", Bun.which("qemu-system-x86_64") !== null, "apt install qemu-system-x86");
//   suite("two guests", () => { test(...) });
//
// Main thread of a test process, while a file is being loaded.

import { describe, test } from "bun:test";

export type Suite = (label: string, body: () => void) => void;

/** The machine is one where everything must be there. */
export const inCi = process.env.CI === "true";

/** `describe` where the peer is available, a failing suite in CI, a skipped one with its reason elsewhere. */
export function requirePeer(name: string, available: boolean, reason: string): Suite {
  if (available) return describe;
  const message = `${name} is not available: ${reason}`;
  if (inCi) {
    return (label) => {
      describe(label, () => {
        test(`needs ${name}`, () => {
          throw new Error(message);
        });
      });
    };
  }
  return (label, body) => {
    console.error(`skip: ${label}: ${message}`);
    describe.skip(`${label} (${message})`, body);
  };
}

/** As `requirePeer`, for programs that are found by name. */
export function requirePrograms(programs: string[], reason: string): Suite {
  const missing = programs.filter((program) => Bun.which(program) === null);
  return requirePeer(missing.join(", "), missing.length === 0, reason);
}

/** As `requirePeer`, for what only root may do. */
export function requireRoot(why: string): Suite {
  return requirePeer("root", process.getuid?.() === 0, `${why}; run the tests as root`);
}
