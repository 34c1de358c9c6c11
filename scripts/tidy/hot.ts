// Files that run for every packet say `// HOT` on their first line, and do nothing that allocates, that suspends or that the
// optimiser gives up on. What sets up is exempt: the top level, property initialisers, constructors, and functions whose
// comment says "Cold".
//
// A heuristic on syntax, not a proof: the collection log of the load test is what says that nothing is allocated.

import {
  isBinaryExpression,
  isCallExpression,
  isIdentifier,
  isParameterDeclaration,
  isPropertyAccessExpression,
  type Node,
  type PropertyAccessExpression,
  SyntaxKind,
} from "typescript/unstable/ast";
import { type Finding, isFunction, lineOf, type Source } from "./parse.ts";

/** Names of syntax as it shows in a finding. */
const NEVER: ReadonlyMap<SyntaxKind, string> = new Map([
  [SyntaxKind.AsyncKeyword, "async"],
  [SyntaxKind.AwaitExpression, "await"],
  [SyntaxKind.YieldExpression, "yield"],
  [SyntaxKind.ThrowStatement, "throw"],
  [SyntaxKind.TryStatement, "try"],
  [SyntaxKind.ArrowFunction, "a closure"],
  [SyntaxKind.FunctionExpression, "a closure"],
  [SyntaxKind.FunctionDeclaration, "a closure"],
  [SyntaxKind.SpreadElement, "spread"],
  [SyntaxKind.SpreadAssignment, "spread"],
  [SyntaxKind.BigIntLiteral, "a BigInt"],
  [SyntaxKind.TemplateExpression, "string building"],
  [SyntaxKind.ForOfStatement, "for of (an iterator)"],
  [SyntaxKind.ForInStatement, "for in"],
  [SyntaxKind.NewExpression, "new"],
  [SyntaxKind.ObjectLiteralExpression, "an object literal"],
  [SyntaxKind.ArrayLiteralExpression, "an array literal"],
  [SyntaxKind.ArrayBindingPattern, "array destructuring (an iterator)"],
  [SyntaxKind.ClassExpression, "a class"],
  [SyntaxKind.RegularExpressionLiteral, "a regular expression"],
]);

const NEVER_NAMES = new Set(["BigInt", "console", "ptr"]);
const LOGGERS = new Set(["log", "logger"]);
/** Methods that make a new object of a view, an array or a string. */
const ALLOCATING_METHODS = new Set([
  ...["subarray", "slice", "map", "filter", "reduce", "forEach", "concat", "bind", "toString", "split", "join"],
  ...["padStart", "getBigUint64", "getBigInt64"],
]);

export function isHot(source: Source): boolean {
  return source.text.startsWith("// HOT\n");
}

function isString(node: Node): boolean {
  return node.kind === SyntaxKind.StringLiteral || node.kind === SyntaxKind.NoSubstitutionTemplateLiteral;
}

function isPlus(node: Node): boolean {
  return node.kind === SyntaxKind.PlusToken || node.kind === SyntaxKind.PlusEqualsToken;
}

/** What a node does that a hot function may not, or undefined. */
function offence(node: Node): string | undefined {
  const never = NEVER.get(node.kind);
  if (never !== undefined) return never;
  if (isParameterDeclaration(node) && node.dotDotDotToken !== undefined) return "rest parameters";
  if (isBinaryExpression(node) && isPlus(node.operatorToken) && (isString(node.left) || isString(node.right))) {
    return "string building";
  }
  if (isCallExpression(node) && isIdentifier(node.expression)) {
    const name = node.expression.text;
    if (NEVER_NAMES.has(name) || LOGGERS.has(name) || name === "String") return `${name}()`;
  }
  if (isPropertyAccessExpression(node)) return accessOffence(node);
  return undefined;
}

function accessOffence(node: PropertyAccessExpression): string | undefined {
  const object = isIdentifier(node.expression) ? node.expression.text : "";
  if (NEVER_NAMES.has(object) || LOGGERS.has(object)) return object;
  const method = isIdentifier(node.name) ? node.name.text : "";
  const called = isCallExpression(node.parent) && node.parent.expression === node;
  return called && ALLOCATING_METHODS.has(method) ? `.${method}()` : undefined;
}

/** A function that does not run for packets: a constructor, or one that says so. */
function isCold(source: Source, node: Node): boolean {
  if (node.kind === SyntaxKind.Constructor) return true;
  return isFunction(node) && /\bCold\b/.test(source.text.slice(node.pos, node.getStart(source.root)));
}

export function checkHot(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources.filter(isHot)) {
    const visit = (node: Node, running: boolean) => {
      if (isCold(source, node)) return;
      const what = running ? offence(node) : undefined;
      if (what !== undefined) {
        findings.push({ path: source.path, line: lineOf(source, node), message: `${what} in a HOT file` });
      }
      const inside = running || isFunction(node);
      node.forEachChild((child) => visit(child, inside));
    };
    source.root.forEachChild((child) => visit(child, false));
  }
  return findings;
}
