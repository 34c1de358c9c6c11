// The house: who may import whom. A file imports from its own folder and from lower floors; the port kinds never see one
// another, though some rooms beside them serve several; the dataplane knows what a port is and no kind; only control's
// wiring brings kinds and dataplane together; only src/sys speaks to bun:ffi. There are no barrel files.
//
//   cli 8 -> control 7 -> dataplane 6 -> ports 5 -> virtio 4 -> mem 3 -> uapi 2 -> sys 1 -> core 0

import { posix } from "node:path";
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isNewExpression,
  isStringLiteral,
  type Node,
  SyntaxKind,
} from "typescript/unstable/ast";
import { type Finding, lineOf, type Source, walk } from "./parse.ts";

const FLOORS: Readonly<Record<string, number>> = {
  core: 0,
  sys: 1,
  uapi: 2,
  mem: 3,
  virtio: 4,
  ports: 5,
  dataplane: 6,
  control: 7,
  cli: 8,
};

/** The files that hand port kinds to the dataplane: one for each of the two threads. */
const WIRING = ["src/control/wiring.ts", "src/control/lane-drivers.ts"];
const PORT = "src/ports/port.ts";
/** Rooms of src/ports that are no kind: what several kinds share. */
const SHARED = ["link", "power-of-two", "shared-file", "vdpa"];

interface Reference {
  readonly node: Node;
  readonly specifier: string;
}

/** What a file names by path: imports, re-exports, `import(…)` and `new URL(…, import.meta.url)`. */
function references(source: Source): Reference[] {
  const found: Reference[] = [];
  walk(source.root, (node) => {
    let named: Node | undefined;
    if (isImportDeclaration(node) || isExportDeclaration(node)) named = node.moduleSpecifier;
    else if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) named = node.arguments[0];
    else if (isNewExpression(node) && node.expression.getText(source.root) === "URL") named = node.arguments?.[0];
    if (named !== undefined && isStringLiteral(named)) found.push({ node, specifier: named.text });
  });
  return found;
}

function folderOf(path: string): string {
  return path.split("/")[1];
}

function isShared(path: string): boolean {
  return path.startsWith("src/ports/") && SHARED.includes(path.split("/")[2].replace(/\.ts$/, ""));
}

/** `src/ports/vhost-user/session.ts` and `src/ports/tap-offload.ts` -> the kinds `vhost-user` and `tap`. */
function kindOf(path: string, kinds: readonly string[]): string | undefined {
  if (!path.startsWith("src/ports/") || path === PORT || isShared(path)) return undefined;
  const first = path.split("/")[2].replace(/\.ts$/, "");
  const fitting = kinds.filter((kind) => first === kind || first.startsWith(`${kind}-`));
  return fitting.sort((a, b) => b.length - a.length)[0] ?? first;
}

/** A folder is a kind, and so is a file whose name does not continue that of another. */
function portKinds(sources: readonly Source[]): string[] {
  const names = sources
    .filter(({ path }) => path.startsWith("src/ports/") && path !== PORT && !isShared(path))
    .map(({ path }) => path.split("/")[2].replace(/\.ts$/, ""));
  return [...new Set(names)].filter((name) => !names.some((other) => other !== name && name.startsWith(`${other}-`)));
}

/** Why `from` may not use `to` (both in src), or undefined. */
function objection(from: string, to: string, kinds: readonly string[]): string | undefined {
  const [own, other] = [folderOf(from), folderOf(to)];
  if (own !== other && !(FLOORS[other] < FLOORS[own])) return `${own} may not use ${other}: only lower floors`;
  if (isShared(to) && own !== "ports") return `only port kinds may use ${to}; others know ports/port.ts`;
  const kind = kindOf(to, kinds);
  if (kind === undefined) return undefined;
  if (own === "ports") return kindOf(from, kinds) === kind ? undefined : `one port kind may not use another (${kind})`;
  if (WIRING.includes(from)) return undefined;
  return `only ${WIRING.join(" and ")} may use a port kind (${kind}); others know ports/port.ts`;
}

function checkReference(source: Source, { node, specifier }: Reference, kinds: readonly string[]): Finding[] {
  const found = (message: string): Finding[] => [{ path: source.path, line: lineOf(source, node), message }];
  const inSrc = source.path.startsWith("src/");
  if (specifier === "bun:ffi" && inSrc && folderOf(source.path) !== "sys") return found("only src/sys imports bun:ffi");
  if (!specifier.startsWith(".")) return [];
  const target = posix.normalize(posix.join(posix.dirname(source.path), specifier));
  if (target.startsWith("..")) return found(`${specifier} is outside the tree`);
  if (isExportDeclaration(node)) return found("no re-exports: import from the file that has it");
  if (!isNewExpression(node) && !specifier.endsWith(".ts") && !specifier.endsWith(".json")) {
    return found(`${specifier} lacks its extension`);
  }
  if (!inSrc) return [];
  if (!target.startsWith("src/")) return target === "package.json" ? [] : found(`src may not use ${target}`);
  const message = objection(source.path, target, kinds);
  return message === undefined ? [] : found(message);
}

export function checkFloors(sources: readonly Source[]): Finding[] {
  const kinds = portKinds(sources);
  const findings: Finding[] = [];
  for (const source of sources) {
    if (/(^|\/)index\.ts$/.test(source.path)) findings.push({ path: source.path, line: 1, message: "no barrel files" });
    if (source.path.startsWith("src/") && FLOORS[folderOf(source.path)] === undefined) {
      findings.push({ path: source.path, line: 1, message: `${folderOf(source.path)} is not a floor of the house` });
      continue;
    }
    for (const reference of references(source)) findings.push(...checkReference(source, reference, kinds));
  }
  return findings;
}
