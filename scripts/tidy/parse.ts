// Source files as the TypeScript compiler's parser sees them. The parser is reached through the pinned compiler's own (still
// "unstable") interface, over files held in memory: nothing is resolved and nothing type-checked.
//
//   path -> text  --parseAll-->  Source { path, text, root }  --walk-->  every node, with its enclosing ones

import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import { API } from "typescript/unstable/async";
import { createVirtualFileSystem } from "typescript/unstable/fs";

export interface Source {
  /** From the tree's root: `src/mem/copy.ts`. */
  readonly path: string;
  readonly text: string;
  readonly root: SourceFile;
}

export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
  /** Shown, but no failure. */
  readonly warning?: true;
}

/** Where the files in memory pretend to be; outside any real tree. */
const FOLDER = "/tidy";

/** The compiler's process did not answer once in some hundred runs, and why was not found: then another one is asked. It takes 4 s, and 18 s on a busy machine. */
const ANSWER_LIMIT_MS = 25_000;

export async function parseAll(files: ReadonlyMap<string, string>): Promise<Source[]> {
  const first = await within(ANSWER_LIMIT_MS, parseOnce(files));
  if (first !== undefined) return first;
  console.error(`tidy: the compiler did not answer within ${ANSWER_LIMIT_MS / 1000} s: asked once more`);
  return await parseOnce(files);
}

/** Undefined where the time is over first. */
async function within<T>(limitMs: number, result: Promise<T>): Promise<T | undefined> {
  const over = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => over.resolve(undefined), limitMs);
  try {
    return await Promise.race([result, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function parseOnce(files: ReadonlyMap<string, string>): Promise<Source[]> {
  const options = { noLib: true, noResolve: true, types: [], allowImportingTsExtensions: true, noEmit: true };
  const config = `${FOLDER}/tsconfig.json`;
  const contents: Record<string, string> = {
    [config]: JSON.stringify({ compilerOptions: options, files: [...files.keys()] }),
  };
  for (const [path, text] of files) contents[`${FOLDER}/${path}`] = text;
  const api = new API({ cwd: FOLDER, fs: createVirtualFileSystem(contents) });
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [config] });
    const program = snapshot.getProjects()[0].program;
    const sources: Source[] = [];
    for (const [path, text] of files) {
      const root = await program.getSourceFile(`${FOLDER}/${path}`);
      if (root === undefined) throw new Error(`${path} was not parsed`);
      sources.push({ path, text, root });
    }
    return sources;
  } finally {
    await api.close();
  }
}

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
]);

/** A function with a body, of whatever form. */
export function isFunction(node: Node): boolean {
  return FUNCTIONS.has(node.kind);
}

/** Visits every node below `node`, outer ones first. */
export function walk(node: Node, visit: (node: Node) => void): void {
  node.forEachChild((child) => {
    visit(child);
    walk(child, visit);
  });
}

/** The 1-based line on which a node begins. */
export function lineOf(source: Source, node: Node): number {
  return lineAt(source.text, node.getStart(source.root));
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}
