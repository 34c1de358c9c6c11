// Golden layouts: what the C compiler says about every constant and struct in src/uapi, from the kernel's own headers
// (vhost-user has none: test/uapi/vhost_user.h declares it, written from the specification and not from src/uapi).
//
//   bun scripts/uapi.ts      writes test/uapi/golden.json and compares src/uapi with it; needs gcc and linux-libc-dev
//
//   src/uapi/*.ts --names--> a C program --gcc, run--> golden.json <--values-- src/uapi/*.ts
//
// A module's opening comment names its headers (`linux/virtio_ring.h`); a number or string it exports is a constant, a
// `struct_NAME` with `{ size, fields: { name: [offset, size] } }` a struct, and nothing else may stand there.
// test/uapi/golden.test.ts compares again in every test run.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = new URL("..", import.meta.url).pathname;
const UAPI = join(ROOT, "src/uapi");
const OWN_HEADERS = join(ROOT, "test/uapi");
const GOLDEN = join(OWN_HEADERS, "golden.json");

/** Names that stand in a specification's text and in no header: checked against a second reading of it, here. */
const FROM_SPECIFICATIONS: Record<string, number> = {
  // Virtio 1.2, 2.7 "Split Virtqueues": "The maximum Queue Size value is 32768."
  VIRTQUEUE_MAX_SIZE: 32768,
};

export interface StructTable {
  size: number;
  /** Name (with dots for nested ones) -> offset and size. */
  fields: Record<string, readonly [number, number]>;
}

export interface UapiModule {
  constants: Record<string, number | string>;
  structs: Record<string, StructTable>;
}

export interface Golden {
  /** Where the values came from; a newer header may have grown a struct at its end. */
  source: { linuxLibcDev: string; arch: string };
  modules: Record<string, UapiModule>;
}

function isStructTable(value: unknown): value is StructTable {
  return typeof value === "object" && value !== null && "size" in value && "fields" in value;
}

/** Sorts a module's exports into constants and structs; anything else is a mistake. */
export function tablesOf(name: string, exported: Record<string, unknown>): UapiModule {
  const tables: UapiModule = { constants: {}, structs: {} };
  for (const [key, value] of Object.entries(exported)) {
    if (typeof value === "number" || typeof value === "string") tables.constants[key] = value;
    else if (key.startsWith("struct_") && isStructTable(value)) tables.structs[key] = value;
    else throw new Error(`src/uapi/${name}.ts exports ${key}, which is neither a constant nor a struct table`);
  }
  return tables;
}

/** What src/uapi says: every module, imported. */
export async function readUapi(): Promise<Record<string, UapiModule>> {
  const modules: Record<string, UapiModule> = {};
  for (const file of readdirSync(UAPI).sort()) {
    const name = file.replace(/\.ts$/, "");
    modules[name] = tablesOf(name, await import(join(UAPI, file)));
  }
  return modules;
}

export function readGolden(): Golden {
  return JSON.parse(readFileSync(GOLDEN, "utf8"));
}

/** The headers that a module's opening comment names, and ours of the same name. */
function headersOf(name: string): string[] {
  const source = readFileSync(join(UAPI, `${name}.ts`), "utf8");
  const opening = /^(\/\/.*\n)+/.exec(source)?.[0] ?? "";
  const named = [...opening.matchAll(/[\w/-]+\.h\b/g)].map((match) => `<${match[0]}>`);
  const own = join(OWN_HEADERS, `${name}.h`);
  return existsSync(own) ? [...named, `"${own}"`] : named;
}

/** A C program that prints a module's tables as JSON; values are the compiler's, only the names are ours. */
function cProgram(headers: string[], { constants, structs }: UapiModule): string {
  const lines = ["#define _GNU_SOURCE", "#include <stdio.h>", "#include <stddef.h>", "#include <linux/ioctl.h>"];
  lines.push(...headers.map((header) => `#include ${header}`));
  lines.push("int main(void) {", '  printf("{\\"constants\\":{\\"\\":0");');
  for (const [name, value] of Object.entries(constants)) {
    if (name in FROM_SPECIFICATIONS) continue;
    const [format, cast] = typeof value === "string" ? ['\\"%s\\"', ""] : ["%lld", "(long long)"];
    lines.push(`  printf(",\\"${name}\\":${format}", ${cast}(${name}));`);
  }
  lines.push('  printf("},\\"structs\\":{\\"\\":0");');
  for (const [name, table] of Object.entries(structs)) {
    const type = name.replace(/^struct_/, "struct ");
    lines.push(`  printf(",\\"${name}\\":{\\"size\\":%zu,\\"fields\\":{\\"\\":0", sizeof(${type}));`);
    for (const field of Object.keys(table.fields)) {
      const at = `offsetof(${type}, ${field}), sizeof(((${type} *)0)->${field})`;
      lines.push(`  printf(",\\"${field}\\":[%zu,%zu]", ${at});`);
    }
    lines.push('  printf("}}");');
  }
  lines.push('  printf("}}\\n");', "  return 0;", "}");
  return `${lines.join("\n")}\n`;
}

/** The compiler's tables for one module; a name that its headers do not know is an error with gcc's words. */
export function compileModule(name: string, module: UapiModule, headers = headersOf(name)): UapiModule {
  const folder = mkdtempSync(join(tmpdir(), "ringyard-uapi-"));
  try {
    const source = join(folder, "layout.c");
    const program = join(folder, "layout");
    writeFileSync(source, cProgram(headers, module));
    const compiled = Bun.spawnSync(["gcc", "-std=gnu11", "-o", program, source]);
    if (!compiled.success) {
      const errors = compiled.stderr
        .toString()
        .split("\n")
        .filter((line) => line.includes("error:"));
      throw new Error(`src/uapi/${name}.ts with ${headers.join(", ") || "no headers"}:\n${errors.join("\n")}`);
    }
    // Keys "" only keep the commas simple.
    const tables = JSON.parse(Bun.spawnSync([program]).stdout.toString(), (key, value) =>
      key === "" && value === 0 ? undefined : value,
    );
    for (const [constant, value] of Object.entries(FROM_SPECIFICATIONS)) {
      if (constant in module.constants) tables.constants[constant] = value;
    }
    return tables;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function headerVersion(): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query's
  const asked = Bun.spawnSync(["dpkg-query", "-W", "-f", "${Version}", "linux-libc-dev"]);
  return asked.success ? asked.stdout.toString().trim() : "unknown";
}

/** What the compiler on this machine says about every name in src/uapi. */
export function compileGolden(modules: Record<string, UapiModule>): Golden {
  const compiled = Object.entries(modules).map(([name, module]) => [name, compileModule(name, module)]);
  return { source: { linuxLibcDev: headerVersion(), arch: process.arch }, modules: Object.fromEntries(compiled) };
}

/** One line for each name on which the two disagree or which one of them lacks. */
export function differences(ours: Record<string, UapiModule>, golden: Record<string, UapiModule>): string[] {
  const lines: string[] = [];
  const flat = (modules: Record<string, UapiModule>) => {
    const values = new Map<string, string>();
    for (const [module, { constants, structs }] of Object.entries(modules)) {
      for (const [name, value] of Object.entries(constants)) values.set(`${module}: ${name}`, JSON.stringify(value));
      for (const [name, { size, fields }] of Object.entries(structs)) {
        values.set(`${module}: sizeof ${name}`, String(size));
        for (const [field, at] of Object.entries(fields)) values.set(`${module}: ${name}.${field}`, JSON.stringify(at));
      }
    }
    return values;
  };
  const [left, right] = [flat(ours), flat(golden)];
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const [from, to] = [left.get(name) ?? "absent", right.get(name) ?? "absent"];
    if (from !== to) lines.push(`${name}: ${from} here, ${to} in golden`);
  }
  return lines.sort();
}

if (import.meta.main) {
  const ours = await readUapi();
  const golden = compileGolden(ours);
  writeFileSync(GOLDEN, JSON.stringify(golden));
  Bun.spawnSync([join(ROOT, "node_modules/.bin/biome"), "format", "--write", GOLDEN], { cwd: ROOT });
  const wrong = differences(ours, golden.modules);
  for (const line of wrong) console.error(line);
  const count = Object.values(ours).reduce(
    (sum, each) => sum + Object.keys(each.constants).length + Object.keys(each.structs).length,
    0,
  );
  console.log(`${count} names checked with gcc, ${wrong.length} differences`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
