// What a rule's match says, header by header in canonical order, with all values as texts: what the text form and the object form
// are both printed from. Pure.
//
//   [ vlan = 1 ] [ vlan.id = 10 or 20-30 ] [ ip4 = 1 ] [ tcp = 1 ] [ tcp.dport = 80 ]
//     -> { header: vlan, ids: [10, 20-30] }   { header: ip, only: any }   { header: tcp, words: dport -> [80] }

import type { FieldName } from "../../dataplane/rules/key.ts";
import { type FieldWord, HEADER_WORDS, HEADERS, type Header, type HeaderWord } from "./grammar.ts";
import { fits } from "./layout.ts";
import type { FieldConstraint, NamedRule } from "./named-rule.ts";

export interface HeaderText {
  readonly header: HeaderWord;
  /** Nothing is asked but whether it is there. */
  readonly only?: "any" | "none";
  /** Items of lists. */
  readonly ids?: readonly string[];
  readonly words: ReadonlyMap<string, readonly string[]>;
}

export function headerTexts(rule: NamedRule): HeaderText[] {
  const fields = new Map(rule.match.map((constraint) => [constraint.field, constraint]));
  const valuesOf = (field: FieldName) => (fields.get(field) as FieldConstraint | undefined)?.oneOf;
  const itemsOf = ({ field, kind }: FieldWord) => {
    const values = valuesOf(field);
    return values === undefined ? undefined : kind.write(values);
  };
  const texts: HeaderText[] = [];
  for (const header of HEADER_WORDS) {
    const { presence, ids: idWord, words: own }: Header = HEADERS[header];
    const ids = idWord && itemsOf(idWord);
    const words = new Map<string, string[]>();
    for (const [word, fieldWord] of Object.entries(own)) {
      const items = itemsOf(fieldWord);
      if (items !== undefined) words.set(word, items);
    }
    const asked = presence && valuesOf(presence);
    if (ids !== undefined || words.size > 0) texts.push({ header, ids, words });
    else if (asked !== undefined)
      texts.push({ header, only: asked.some((value) => fits(value, 1n)) ? "any" : "none", words });
  }
  return texts;
}

/** The ports that a rule is for. */
export function portsOf(rule: NamedRule): readonly string[] | undefined {
  return rule.match.find((constraint) => constraint.field === "in")?.oneOf;
}
