// The house rules hold for the tree, and each of them bites: every rule has a file that breaks it and one that does not.

import { describe, expect, test } from "bun:test";
import { checkText, type Place } from "../scripts/tidy/text.ts";
import { checkCode, checkTree, lineFor } from "../scripts/tidy.ts";

test("the tree is tidy", async () => {
  const findings = await checkTree();
  for (const finding of findings.filter(({ warning }) => warning)) console.error(lineFor(finding));
  expect(findings.filter(({ warning }) => !warning).map(lineFor)).toEqual([]);
});

const HEADER = "// What it is.\n";

/** The findings about files given as path -> code; a header comment is put before each. */
async function findings(files: Record<string, string>): Promise<string[]> {
  const texts = Object.entries(files).map(([path, code]) => [path, HEADER + code] as const);
  return (await checkCode(new Map(texts))).map(lineFor);
}

describe("floors", () => {
  const port = { "src/ports/port.ts": "export const x = 1;" };

  test.each([
    [
      "a higher floor",
      "src/mem/a.ts",
      'import { x } from "../virtio/ring.ts";',
      "mem may not use virtio: only lower floors",
    ],
    [
      "a type from one",
      "src/mem/a.ts",
      'import type { X } from "../virtio/x.ts";',
      "mem may not use virtio: only lower floors",
    ],
    [
      "a dynamic import of one",
      "src/mem/a.ts",
      'await import("../cli/main.ts");',
      "mem may not use cli: only lower floors",
    ],
    [
      "a worker on one",
      "src/sys/a.ts",
      'new URL("../dataplane/entry.ts", import.meta.url);',
      "sys may not use dataplane: only lower floors",
    ],
    ["the tests", "src/mem/a.ts", 'import { x } from "../../test/x.ts";', "src may not use test/x.ts"],
    ["what is outside", "bench/a.ts", 'import { x } from "../../x.ts";', "../../x.ts is outside the tree"],
    ["no extension", "src/mem/a.ts", 'import { x } from "./b";', "./b lacks its extension"],
    ["a re-export", "src/mem/a.ts", 'export * from "./b.ts";', "no re-exports: import from the file that has it"],
    ["a barrel", "src/mem/index.ts", "", "no barrel files"],
    ["a folder that is no floor", "src/util/a.ts", "", "util is not a floor of the house"],
    ["bun:ffi above sys", "src/mem/a.ts", 'import { dlopen } from "bun:ffi";', "only src/sys imports bun:ffi"],
    [
      "a port kind in another",
      "src/ports/tap.ts",
      'import { x } from "./vhost-user/session.ts";',
      "one port kind may not use another (vhost-user)",
    ],
    [
      "a port kind in the dataplane",
      "src/dataplane/a.ts",
      'import { x } from "../ports/tap.ts";',
      "only src/control/wiring.ts and src/control/lane-drivers.ts may use a port kind (tap); others know ports/port.ts",
    ],
    [
      "what kinds share, in a floor above",
      "src/control/wiring.ts",
      'import { x } from "../ports/link/link.ts";',
      "only port kinds may use src/ports/link/link.ts; others know ports/port.ts",
    ],
    [
      "a port kind in what kinds share",
      "src/ports/vdpa/clerk.ts",
      'import { x } from "../tap/device.ts";',
      "one port kind may not use another (tap)",
    ],
  ])("refuse %s", async (_, path, code, message) => {
    expect(await findings({ ...port, [path]: code })).toEqual([
      `${path}:${code === "" || path.includes("index") ? 1 : 2}: ${message}`,
    ]);
  });

  test.each([
    [
      "lower floors and the own one",
      "src/virtio/a.ts",
      'import "../mem/b.ts"; import "./c.ts"; import "../core/d.ts";',
    ],
    ["bun:ffi in sys", "src/sys/a.ts", 'import { dlopen } from "bun:ffi";'],
    ["what a port is, in the dataplane", "src/dataplane/a.ts", 'import { x } from "../ports/port.ts";'],
    ["the files of one port kind", "src/ports/tap-queue.ts", 'import { x } from "./tap.ts"; import "./port.ts";'],
    [
      "what kinds share, in a kind and in its like",
      "src/ports/tap.ts",
      'import "./vdpa/clerk.ts"; import "./link/link.ts";',
    ],
    ["port kinds in the wiring", "src/control/wiring.ts", 'import { x } from "../ports/tap.ts";'],
    ["anything of src in tests", "test/a.test.ts", 'import { x } from "../src/ports/tap.ts"; import "bun:ffi";'],
  ])("allow %s", async (_, path, code) => {
    const kind = { "src/ports/tap.ts": 'import "./port.ts";' };
    expect(await findings({ ...port, ...kind, [path]: code })).toEqual([]);
  });
});

describe("hot files", () => {
  async function hotFindings(code: string): Promise<string[]> {
    const found = await checkCode(new Map([["src/mem/hot.ts", `// HOT\n${HEADER}${code}`]]));
    return found.map(({ message }) => message.replace(" in a HOT file", ""));
  }

  test.each([
    ["await p", ["await"]],
    ["throw e", ["throw"]],
    ["try { g() } catch {}", ["try"]],
    ["list.find((x) => x)", ["a closure"]],
    ["const g = function () {}", ["a closure"]],
    ["function g() {}", ["a closure"]],
    ["Math.max(...list)", ["spread"]],
    ["x = 1n", ["a BigInt"]],
    ["x = BigInt(y)", ["BigInt()"]],
    ["x = BigInt.asIntN(y, z)", ["BigInt"]],
    ["x = new Map()", ["new"]],
    ["x = { y }", ["an object literal"]],
    ["x = [y]", ["an array literal"]],
    ["const [x] = y", ["array destructuring (an iterator)"]],
    ["for (const x of y) g(x)", ["for of (an iterator)"]],
    ["for (const x in y) g(x)", ["for in"]],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code under test
    ["x = `a${y}`", ["string building"]],
    ['x = "a" + y', ["string building"]],
    ['x += "a"', ["string building"]],
    ["x = String(y)", ["String()"]],
    ["x = y.toString()", [".toString()"]],
    ["x = view.subarray(1)", [".subarray()"]],
    ["x = view.getBigUint64(0)", [".getBigUint64()"]],
    ["x = ptr(view)", ["ptr()"]],
    ["console.error(x)", ["console"]],
    ["logger.info(x)", ["logger"]],
    ["x = /a/", ["a regular expression"]],
  ])("refuse %s", async (statement, messages) => {
    expect(await hotFindings(`export function f(...args) { ${statement}; }`)).toEqual(["rest parameters", ...messages]);
    expect(await hotFindings(`class C { m() { ${statement}; } }`)).toEqual(messages);
    expect(await hotFindings(`/** Makes it. Cold. */\nexport function f() { ${statement}; }`)).toEqual([]);
    expect(await hotFindings(`class C { constructor() { ${statement}; } }`)).toEqual([]);
  });

  test("refuse an async function", async () => {
    expect(await hotFindings("export async function f() {}")).toEqual(["async"]);
  });

  test("allow what is made once, and loops over numbers", async () => {
    const code = `const table = new Int32Array(4); const names = ["a"];
      class C { readonly heads = new Int32Array(64); }
      export function f(x: { a: number }, y: [number, (z: number) => void]): number {
        for (let i = 0; i < table.length; i++) table[i] = x.a + i; return names.length + y[0];
      }`;
    expect(await hotFindings(code)).toEqual([]);
  });

  test("are only those that say so", async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code under test
    expect(await findings({ "src/mem/cold.ts": "export function f() { throw new Error(`${1}`); }" })).toEqual([]);
  });
});

describe("the shape of a file", () => {
  test("a header comment", async () => {
    const code = new Map([
      ["src/mem/a.ts", "export const x = 1;\n"],
      ["src/mem/b.ts", "// HOT\nexport const x = 1;\n"],
      ["src/mem/c.ts", "// HOT\n// What it is.\n"],
      ["scripts/d.ts", "#!/usr/bin/env bun\n// What it is.\n"],
    ]);
    const missing = "no header comment: what it is, its data, its limits";
    expect((await checkCode(code)).map(lineFor)).toEqual([`src/mem/a.ts:1: ${missing}`, `src/mem/b.ts:2: ${missing}`]);
  });

  test("a length: thought again past 400, refused past 500", async () => {
    const lines = (count: number) => "export const x = 1;\n".repeat(count - 1);
    expect(await findings({ "src/mem/a.ts": lines(400) })).toEqual([]);
    expect(await findings({ "src/mem/a.ts": lines(401) })).toEqual([
      "src/mem/a.ts:1: 401 lines: think again past 400 (warning)",
    ]);
    expect(await findings({ "src/mem/a.ts": lines(501) })).toEqual([
      "src/mem/a.ts:1: 501 lines: split it (at most 500)",
    ]);
  });

  test("functions that fit on a screen, except lists of tests", async () => {
    const long = (lines: number) => `/** Doc. */\nexport function f() {\n${"g();\n".repeat(lines - 2)}}\n`;
    expect(await findings({ "src/mem/a.ts": long(70) })).toEqual([]);
    expect(await findings({ "src/mem/a.ts": long(71) })).toEqual([
      "src/mem/a.ts:3: a function of 71 lines (at most 70)",
    ]);
    expect(await findings({ "test/a.test.ts": long(71) })).toEqual([]);
  });

  test("any, outside src/sys", async () => {
    const code = "export let x: any;";
    expect(await findings({ "src/mem/a.ts": code })).toEqual(["src/mem/a.ts:2: any outside src/sys"]);
    expect(await findings({ "src/sys/a.ts": code, "src/mem/b.ts": "// any\nexport const any = 1;" })).toEqual([]);
  });
});

describe("where it was written", () => {
  const place: Place = { paths: ["/opt/build/tree", "/app"], exists: (path) => path === "docs/A.md" };
  const told = (path: string, text: string) => checkText(new Map([[path, text]]), place).map(({ message }) => message);
  const host = ["registry", "example", "org"].join(".");
  const home = ["", "home", "somebody"].join("/");

  test.each([
    ["a.sh", "cd /opt/build/tree/src", "a path of one machine: /opt/build/tree"],
    ["a.md", `see ${home}/notes`, `a path of one machine: ${home}`],
    ["package-lock.json", `"resolved": "https://${host}/x"`, `a package registry's host: ${host}`],
    ["README.md", "[gone](docs/B.md)", "a link that leads nowhere: docs/B.md"],
    ["docs/A.md", "[out](../../x.md)", "a link that leads nowhere: ../../x.md"],
  ])("%s may not say %s", (path, text, message) => {
    expect(told(path, text)).toEqual([message]);
  });

  test.each([
    ["a.ts", 'import "../../opt/build/tree/x.ts"; cd("/tmp/x"); const homes = "src/home/a"; open("/app/x");'],
    ["a.ts", "the registry. Then /opt/build/trees"],
    ["README.md", "[a](docs/A.md#part) [web](https://example.org/x)"],
    ["docs/B.md", "[a](A.md) [b](#here)"],
  ])("%s may say %s", (path, text) => {
    expect(told(path, text)).toEqual([]);
  });
});
