// The filter of a capture: a match with ports by name, as the program that workers ask. Names are resolved anew with every port of theirs
// that comes or goes, as those of rules are (rules/rule-waiting.ts): one whose port is not there matches nothing, and never another port.
// Control thread.

import { RingyardError } from "../core/errors.ts";
import type { CapturePolicy } from "../dataplane/bridge/policy.ts";
import { RuleCompiler } from "../dataplane/rules/compile.ts";
import type { NamedConstraint } from "./rules/named-rule.ts";
import { namesIn } from "./rules/resolve.ts";
import { resolveWithoutAbsent } from "./rules/rule-waiting.ts";

export class CaptureFilter {
  /** That it names. */
  readonly ports: readonly string[];

  constructor(private readonly match: readonly NamedConstraint[]) {
    this.ports = namesIn({ priority: 0, match, actions: [] }).ports;
  }

  /** Throws NOT_FOUND where a port that it names is not there. */
  check(ports: ReadonlyMap<string, number>): void {
    const absent = this.ports.find((name) => !ports.has(name));
    if (absent === undefined) return;
    throw new RingyardError("NOT_FOUND", `filter: no port ${absent}`, "`ringyard port list` names them");
  }

  /** With the ports that there are, by name. */
  compile(ports: ReadonlyMap<string, number>): CapturePolicy["filter"] {
    // A match as a rule of its own.
    const rule = { priority: 0, match: this.match, actions: [{ do: "drop" as const }] };
    const lookup = { port: (name: string) => ports.get(name), meter: () => undefined };
    const { tables, source } = new RuleCompiler().compile([resolveWithoutAbsent({ id: 1, rule }, lookup)]);
    return { tables: [...tables], source };
  }
}
