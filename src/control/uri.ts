// Port URIs, the one way to name a port in TOML, on the command line and over the control socket:
//
//   tap:web?netns=blue&mtu=1500        kind ':' target [ '?' option '=' value { '&' option '=' value } ]
//
// Targets and values may be percent-encoded. Two URIs mean the same port when their canonical forms are equal: options
// sorted, values as their schema understood them, defaults left out, paths normalised. `link` is never in them: it changes
// while the port runs, and is compared by itself (`PortConfig`). Control thread; pure.

import { posix } from "node:path";
import type { ZodType } from "zod";
import { RingyardError } from "../core/errors.ts";
import { fitsLine, quoted, word } from "../core/quote.ts";
import type { PortKind, PortOptions, PortSpec } from "../ports/port.ts";
import { nearest, suggest } from "./nearest.ts";
import { commonOptions, portName } from "./options.ts";
import { decode, encode, valueText } from "./uri-text.ts";

export type Kinds = Readonly<Record<string, PortKind>>;

/** An option as a URI would carry it, or as a list. */
type Given = string | readonly string[];
/** Options by name. */
type Table = Readonly<Record<string, Given>>;

/** What is wrong with a port's description; `option` says where, when it is one option. */
export interface PortProblem {
  code: "BAD_URI" | "BAD_OPTION";
  option?: string;
  message: string;
  next?: string;
  /** The kind has no such option, nor one that it could be meant for. */
  foreign?: boolean;
}

/** Far beyond any path or set of options; keeps what a message repeats within reason. */
const URI_LENGTH_MAX = 1024;

/** Reads a URI, and options that stand beside it, or throws an error that names the port. */
export function parsePort(name: string, uri: string, kinds: Kinds, table: Table = {}): PortSpec {
  const read = readPort(name, uri, kinds, table);
  if (!Array.isArray(read)) return read;
  const { code, option, message, next } = read[0];
  throw new RingyardError(
    code,
    `port ${word(name)}: ${option === undefined ? "" : `${word(option)}: `}${message}`,
    next,
  );
}

/** Reads `NAME=URI`, as `--port` takes it. */
export function parsePortArgument(text: string, kinds: Kinds): PortSpec {
  const equals = text.indexOf("=");
  if (equals < 1)
    throw new RingyardError("BAD_URI", `${quoted(text)} is not NAME=URI`, "write for example --port web=tap:web");
  return parsePort(text.slice(0, equals), text.slice(equals + 1), kinds);
}

/** Reads a URI and the options that stand beside it in a table of the configuration; returns the port or all mistakes. */
export function readPort(name: string, uri: string, kinds: Kinds, table: Table = {}): PortSpec | PortProblem[] {
  const named = portName.safeParse(name);
  if (!named.success) return [problem(`${named.error.issues[0].message}, found ${quoted(name)}`)];
  if (uri.length > URI_LENGTH_MAX) return [problem(`uri longer than ${URI_LENGTH_MAX} characters`)];
  const colon = uri.indexOf(":");
  if (colon < 1) return [problem(`${quoted(uri)} is not a port uri`, "write KIND:TARGET, for example tap:web")];
  const kindName = uri.slice(0, colon);
  if (!Object.hasOwn(kinds, kindName)) {
    return [problem(`unknown port kind ${quoted(kindName)}`, suggest(kindName, "known kinds:", Object.keys(kinds)))];
  }
  const kind = kinds[kindName];
  const question = uri.indexOf("?", colon);
  const rawTarget = uri.slice(colon + 1, question < 0 ? undefined : question);
  const target = readTarget(kind, rawTarget);
  const given: Map<string, Given> | PortProblem = readQuery(question < 0 ? "" : uri.slice(question + 1));
  if (typeof target !== "string") return [target];
  if (!(given instanceof Map)) return [given];
  const problems: PortProblem[] = [];
  for (const [option, value] of Object.entries(table)) {
    if (given.has(option)) problems.push({ ...problem("stands in the uri too"), code: "BAD_OPTION", option });
    // As in a URI, which is what is printed, and read again.
    else if (!fitsLine(valueText(value)))
      problems.push({ ...problem(`bad character in ${quoted(value)}`), code: "BAD_OPTION", option });
    else given.set(option, value);
  }
  const options = readOptions(kind, given, problems);
  const wrong = kind.checkOptions?.(options);
  if (wrong !== undefined) problems.push({ code: "BAD_OPTION", ...wrong });
  if (problems.length > 0) return problems;
  return { name, uri: formatUri(kind, target, options), kind: kindName, target, options };
}

/** The canonical URI. */
export function formatUri(kind: PortKind, target: string, options: PortOptions): string {
  const words: string[] = [];
  for (const option of Object.keys(options).sort()) {
    const value = options[option];
    const schema = schemaOf(kind, option);
    if (option === "link" || value === undefined || (schema !== undefined && sameValue(value, defaultOf(schema))))
      continue;
    words.push(`${option}=${encode(valueText(value))}`);
  }
  return `${kind.kind}:${encode(target)}${words.length === 0 ? "" : `?${words.join("&")}`}`;
}

/** The same port with other options: what a running port is called after `port set`. */
export function withOptions(spec: PortSpec, changes: PortOptions, kinds: Kinds): PortSpec {
  const options = { ...spec.options, ...changes };
  return { ...spec, options, uri: formatUri(kinds[spec.kind], spec.target, options) };
}

function readTarget(kind: PortKind, raw: string): string | PortProblem {
  const form = kind.targetForm;
  const target = decode(raw);
  if (target === null) return problem(`${kind.kind}: bad character or percent-encoding in ${quoted(raw)}`);
  if (form === "" && target !== "")
    return problem(`${kind.kind}: takes no target, found ${quoted(target)}`, `write ${kind.kind}:`);
  if (form !== "" && target === "") return problem(`${kind.kind}: missing ${form}`, `write ${kind.kind}:${form}`);
  // The switch runs in another directory than the person who types.
  if (form === "PATH" && !target.startsWith("/"))
    return problem(`${kind.kind}: expected an absolute path, found ${quoted(target)}`);
  const wrong = kind.check?.(target);
  if (wrong !== undefined) return problem(`${kind.kind}: ${wrong.message}`, wrong.next);
  return form === "PATH" ? posix.normalize(target) : target;
}

function readQuery(query: string): Map<string, string> | PortProblem {
  const given = new Map<string, string>();
  if (query === "") return given;
  for (const word of query.split("&")) {
    const equals = word.indexOf("=");
    const option = equals < 0 ? word : word.slice(0, equals);
    const value = decode(equals < 0 ? "" : word.slice(equals + 1));
    if (option === "") return problem(`empty option in ${quoted(`?${query}`)}`, "write ?OPTION=VALUE&OPTION=VALUE");
    if (value === null) return { ...problem("bad character or percent-encoding"), code: "BAD_OPTION", option };
    if (given.has(option)) return { ...problem("given twice"), code: "BAD_OPTION", option };
    given.set(option, value);
  }
  return given;
}

function readOptions(kind: PortKind, given: ReadonlyMap<string, Given>, problems: PortProblem[]): PortOptions {
  const options: PortOptions = {};
  for (const [option, value] of given) {
    const schema = schemaOf(kind, option);
    if (schema === undefined) {
      const known = [...Object.keys(commonOptions), ...Object.keys(kind.options)];
      const next = suggest(option, `${kind.kind} takes`, known);
      const foreign = nearest(option, known) === undefined;
      problems.push({ code: "BAD_OPTION", option, message: `unknown option of ${kind.kind}`, next, foreign });
      continue;
    }
    const refuse = (message: string) => problems.push({ code: "BAD_OPTION", option, message });
    const parsed = schema.safeParse(valueText(value));
    if (!parsed.success) refuse(`${parsed.error.issues[0].message}, found ${quoted(valueText(value))}`);
    else if (Array.isArray(value) && !Array.isArray(parsed.data)) {
      refuse(`expected one value, found a list: ${quoted(value)}`);
    } else options[option] = parsed.data;
  }
  for (const [option, schema] of Object.entries(kind.options)) {
    if (!given.has(option)) {
      const value = defaultOf(schema);
      if (value !== undefined) options[option] = value;
    }
  }
  return options;
}

function schemaOf(kind: PortKind, option: string): ZodType | undefined {
  if (Object.hasOwn(commonOptions, option)) return commonOptions[option as keyof typeof commonOptions];
  return Object.hasOwn(kind.options, option) ? kind.options[option] : undefined;
}

/** What an absent option stands for, or undefined. */
function defaultOf(schema: ZodType): unknown {
  const parsed = schema.safeParse(undefined);
  return parsed.success ? parsed.data : undefined;
}

function sameValue(a: unknown, b: unknown): boolean {
  return b !== undefined && valueText(a) === valueText(b);
}

function problem(message: string, next?: string): PortProblem {
  return { code: "BAD_URI", message, next };
}
