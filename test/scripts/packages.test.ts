// What setup believes to be installed: a proof that is always found would skip installing, one never found would ask apt each time.

import { expect, test } from "bun:test";
import { isInstalled, missingPackages, PURPOSES, type SystemPackage, systemPackages } from "../../scripts/packages.ts";

function wanted(proof: string): SystemPackage {
  return { name: "x", proof, why: "", purposes: [] };
}

test("a program in PATH is a proof, also where only root looks", () => {
  expect(isInstalled(wanted("sh"))).toBe(true);
  expect(isInstalled(wanted("chroot"))).toBe(true);
  expect(isInstalled(wanted("no-such-program"))).toBe(false);
});

test("a file is a proof, by a glob", () => {
  expect(isInstalled(wanted("/etc/pass*d"))).toBe(true);
  expect(isInstalled(wanted("/usr/lib/*/no_such_library.so.*"))).toBe(false);
});

test("each purpose asks for its own packages only", () => {
  for (const purpose of PURPOSES) {
    for (const missing of missingPackages(purpose)) expect(missing.purposes).toContain(purpose);
  }
});

test("names are such that apt's own regular expressions take them literally", () => {
  for (const { name } of systemPackages) {
    if (typeof name === "string") expect(name).toMatch(/^[a-z0-9][a-z0-9.+-]+$/);
    else expect(name.source).toMatch(/^\^[a-z-]+\[0-9\]\+\$$/);
  }
});
