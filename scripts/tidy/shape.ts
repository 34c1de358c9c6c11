// The shape of a file: a header comment that says what it is, a length that one can keep in mind, functions that fit on a
// screen, no `any` where the compiler could have helped.

import { SyntaxKind } from "typescript/unstable/ast";
import { isHot } from "./hot.ts";
import { type Finding, isFunction, lineAt, lineOf, type Source, walk } from "./parse.ts";

/** "Think again" past the first, split at the second. */
const LONG_FILE_LINES = 400;
const MAX_FILE_LINES = 500;
/** TIGER_STYLE's figure: what fits on a screen. */
const MAX_FUNCTION_LINES = 70;

function checkHeader(source: Source): Finding[] {
  const lines = source.text.split("\n");
  const at = lines[0].startsWith("#!") || isHot(source) ? 1 : 0;
  if (/^\/\/ \S/.test(lines[at] ?? "")) return [];
  return [{ path: source.path, line: at + 1, message: "no header comment: what it is, its data, its limits" }];
}

function checkLength(source: Source): Finding[] {
  const lines = source.text.split("\n").length - 1;
  if (lines > MAX_FILE_LINES) {
    return [{ path: source.path, line: 1, message: `${lines} lines: split it (at most ${MAX_FILE_LINES})` }];
  }
  if (lines > LONG_FILE_LINES) {
    return [
      { path: source.path, line: 1, message: `${lines} lines: think again past ${LONG_FILE_LINES}`, warning: true },
    ];
  }
  return [];
}

function checkNodes(source: Source): Finding[] {
  const findings: Finding[] = [];
  const inTests = source.path.startsWith("test/");
  walk(source.root, (node) => {
    const line = lineOf(source, node);
    if (node.kind === SyntaxKind.AnyKeyword && !source.path.startsWith("src/sys/")) {
      findings.push({ path: source.path, line, message: "any outside src/sys" });
    }
    // A test's describe block is a list of functions, not one.
    if (isFunction(node) && !inTests) {
      const lines = lineAt(source.text, node.end) - line + 1;
      const message = `a function of ${lines} lines (at most ${MAX_FUNCTION_LINES})`;
      if (lines > MAX_FUNCTION_LINES) findings.push({ path: source.path, line, message });
    }
  });
  return findings;
}

export function checkShape(sources: readonly Source[]): Finding[] {
  return sources.flatMap((source) => [...checkHeader(source), ...checkLength(source), ...checkNodes(source)]);
}
