// Many things in one line: the first of them, and how many more there are. Pure.

const SHOWN_COUNT = 8;

/** `a, b, c`, or where there are more than `most`: `a, b, c and 5 more`. `items` may be the first of `count`. */
export function listed(items: readonly (string | number)[], most = SHOWN_COUNT, count = items.length): string {
  const more = count - most;
  return `${items.slice(0, most).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
