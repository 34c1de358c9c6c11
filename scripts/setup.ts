// Installs the system packages that a purpose needs and that are not there: says which and why, then does it. Only with
// apt and as root; elsewhere it prints what is missing and goes on, and the tests that need it are skipped with a reason.
// RINGYARD_NO_INSTALL=1 keeps it from installing anything.
//
//   bun scripts/setup.ts [demo|test|bench|kernel]      also called by scripts/test.ts, scripts/demo.ts and bench/main.ts
//
// Everything goes to stderr: stdout belongs to the caller's results.

import { existsSync } from "node:fs";
import { isInstalled, missingPackages, PURPOSES, type Purpose, type SystemPackage } from "./packages.ts";

const APT_OPTIONS = ["-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"];

function say(line: string): void {
  console.error(line);
}

/** Why nothing can be installed here, or undefined. */
function reasonNotToInstall(): string | undefined {
  if (process.env.RINGYARD_NO_INSTALL === "1") return "RINGYARD_NO_INSTALL is set";
  if (!existsSync("/etc/debian_version") || Bun.which("apt-get") === null) return "this is not a Debian system";
  if (process.getuid?.() !== 0) return "only root may install packages";
  return undefined;
}

async function apt(tool: "apt-get" | "apt-cache", ...args: string[]): Promise<{ ok: boolean; output: string }> {
  const child = Bun.spawn([tool, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { ok: (await child.exited) === 0, output: stdout + (child.exitCode === 0 ? "" : stderr) };
}

/** The name in this release's archive, or undefined while apt does not know it. */
async function archiveName(wanted: SystemPackage): Promise<string | undefined> {
  const pattern = wanted.name instanceof RegExp ? wanted.name.source : `^${wanted.name.replace(/[.+]/g, "\\$&")}$`;
  const { output } = await apt("apt-cache", "search", "--names-only", pattern);
  const names = output.split("\n").map((line) => line.split(" ")[0]);
  return names.filter(Boolean).sort().at(-1);
}

/** `quiet`: a failure will be tried again, with fresh package lists. */
async function install(wanted: SystemPackage[], quiet: boolean): Promise<boolean> {
  const names = await Promise.all(wanted.map(archiveName));
  const unknown = wanted.filter((_, index) => names[index] === undefined);
  if (unknown.length > 0) {
    if (!quiet) say(`apt does not know: ${unknown.map(label).join(", ")}`);
    return false;
  }
  const { ok, output } = await apt("apt-get", "install", ...APT_OPTIONS, ...(names as string[]));
  if (!ok && !quiet) say(output.trim());
  return ok;
}

function list(missing: SystemPackage[]): string {
  return missing.map((each) => `  ${label(each).padEnd(26)} ${each.why}`).join("\n");
}

function label(wanted: SystemPackage): string {
  return wanted.name instanceof RegExp
    ? wanted.name.source.replace(/^\^|\$$/g, "").replace("[0-9]+", "*")
    : wanted.name;
}

/** Brings the machine to where `purpose` has what it needs; returns what is still missing. */
export async function setUp(purpose: Purpose): Promise<SystemPackage[]> {
  const missing = missingPackages(purpose);
  if (missing.length === 0) return [];
  const reason = reasonNotToInstall();
  if (reason !== undefined) {
    say(`not here, and not installed because ${reason}:\n${list(missing)}`);
    return missing;
  }
  say(`installing Debian packages for "${purpose}":\n${list(missing)}`);
  // The package lists may be absent or older than the archive: refreshed only when what they say did not work.
  if (!(await install(missing, true))) {
    say("refreshing the package lists (apt-get update)");
    const updated = await apt("apt-get", "update", "-qq");
    if (!updated.ok) say(updated.output.trim());
    await install(missing, false);
  }
  const left = missing.filter((each) => !isInstalled(each));
  if (left.length > 0) say(`could not be installed:\n${list(left)}`);
  return left;
}

if (import.meta.main) {
  const word = process.argv[2] ?? "test";
  const purpose = PURPOSES.find((each) => each === word);
  if (purpose === undefined) {
    say(`"${word}" is not a purpose: use one of ${PURPOSES.join(", ")}`);
    process.exit(2);
  }
  const left = await setUp(purpose);
  if (left.length === 0) say(`everything for "${purpose}" is here`);
  process.exit(left.length === 0 ? 0 : 1);
}
