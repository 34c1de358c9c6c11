// Which actions may stand beside one another in a rule: at most one that ends the search, and that last; nothing twice. Pure.
//
//   meter web set vlan 10 drop        ok
//   drop count                        count would never be reached
//   strip vlan strip vlan             ok: two tags
//   set vlan 1 set vlan 2             the first would be for nothing; behind a strip vlan it is another tag's

import type { NamedAction } from "./named-rule.ts";
import { type Word, WordProblem } from "./word.ts";

/** Far more than there are kinds of actions. */
const ACTIONS_MAX = 32;

const TERMINAL: readonly NamedAction["do"][] = ["allow", "drop", "forward", "flood", "continue"];

/** The actions of one rule, as they are read. */
export class ActionOrder {
  readonly actions: NamedAction[] = [];
  #seen = new Set<string>();

  /** Throws WordProblem at `word`, the action's first. */
  add(action: NamedAction, word: Word): void {
    const last = this.actions.at(-1);
    if (last !== undefined && isTerminal(last)) throw afterEnd(last, action, word);
    if (this.actions.length === ACTIONS_MAX) {
      throw new WordProblem(word, `more than ${ACTIONS_MAX} actions`, "spread them over rules that end with continue");
    }
    for (const effect of effectsOf(action)) {
      if (this.#seen.has(effect)) throw new WordProblem(word, `${effect} stands there twice`, "leave one out");
      this.#seen.add(effect);
    }
    if (action.do === "strip-vlan")
      this.#seen = new Set([...this.#seen].filter((effect) => !/^set (vlan|pcp)$/.test(effect)));
    this.actions.push(action);
  }
}

function isTerminal(action: NamedAction): boolean {
  return TERMINAL.includes(action.do);
}

function afterEnd(last: NamedAction, action: NamedAction, word: Word): WordProblem {
  if (!isTerminal(action)) return new WordProblem(word, `${last.do} ends a rule`, `write ${last.do} last`);
  if (last.do !== action.do)
    return new WordProblem(word, `${last.do} and ${action.do} exclude one another`, "leave one out");
  const next = last.do === "forward" ? "join the ports by commas" : "leave one out";
  return new WordProblem(word, `${last.do} stands there twice`, next);
}

/** What would be for nothing a second time. */
function effectsOf(action: NamedAction): string[] {
  switch (action.do) {
    case "mirror":
      return [`mirror ${action.port}`];
    case "meter":
      return [`meter ${action.meter}`];
    case "set-vlan":
      return [...(action.id === undefined ? [] : ["set vlan"]), ...(action.pcp === undefined ? [] : ["set pcp"])];
    case "set-mac":
      return [
        ...(action.src === undefined ? [] : ["set eth src"]),
        ...(action.dst === undefined ? [] : ["set eth dst"]),
      ];
    case "set-dscp":
      return ["set dscp"];
    case "count":
    case "log":
      return [action.do];
    default:
      return [];
  }
}
