// The words of a rule while it is read, and what may be wrong with one of them. A word knows where it stands, in a text or in an
// object, so that every mistake points at it, and the readers of words need not know which of the two it is. Pure.
//
//   text    tcp dport 80,443                words "tcp" at 0, "dport" at 4, "80,443" at 10; items "80" at 10, "443" at 13
//   object  { tcp: { dport: [80, 443] } }   words "tcp" at tcp, "dport" and "80,443" at tcp.dport; items at tcp.dport.0 and .1

/** The keys that lead to a value of an object. */
export type Path = readonly (string | number)[];

export interface Word {
  readonly text: string;
  /** Offset in the rule's text, or in the object's value. */
  readonly at: number;
  /** Where it stands in an object, when it comes from one. */
  readonly path?: Path;
  /** What an object has as a list; `text` is those with commas between them. */
  readonly parts?: readonly Word[];
}

/** Thrown by what reads words, for what knows their source to say the place; never leaves this folder. */
export class WordProblem extends Error {
  constructor(
    readonly word: Word,
    message: string,
    readonly next?: string,
  ) {
    super(message);
  }
}

/** More alternatives are several rules, or a prefix. What several lists multiply to is bounded, too (limits.ts). */
const LIST_LENGTH_MAX = 256;

/** Words one after the other. */
export class Words {
  #index = 0;

  /** `end` stands behind the last word. */
  constructor(
    readonly words: readonly Word[],
    readonly end: Word,
  ) {}

  peek(): Word | undefined {
    return this.words[this.#index];
  }

  skip(): void {
    this.#index++;
  }

  /** The next word; `before` needs one such as `example`. */
  take(before: string, example: string): Word {
    const word = this.peek();
    if (word === undefined) throw new WordProblem(this.end, `${before} lacks its value`, `write ${before} ${example}`);
    this.skip();
    return word;
  }
}

/** The words of a text, or of a text in an object. */
export function splitWords(text: string, path?: Path): Words {
  const words = [...text.matchAll(/\S+/g)].map((match) => ({ text: match[0], at: match.index, path }));
  return new Words(words, { text: "", at: text.trimEnd().length, path });
}

/** The items of a list such as `80,443`. */
export function itemsOf(word: Word): Word[] {
  const items = (word.parts ?? [word]).flatMap(splitItems);
  if (items.length <= LIST_LENGTH_MAX) return items;
  throw new WordProblem(word, `a list of more than ${LIST_LENGTH_MAX}`, "spread it over several rules");
}

function splitItems(word: Word): Word[] {
  let { at } = word;
  // One more than may be, so that a list without end is not split to its end.
  return word.text.split(",", LIST_LENGTH_MAX + 1).map((text) => {
    if (text === "") throw new WordProblem(word, "nothing stands beside a comma", "write lists without spaces: 80,443");
    const item = { text, at, path: word.path };
    at += text.length + 1;
    return item;
  });
}
