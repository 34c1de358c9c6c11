// Which of several versions is the newest, as packages and folders of the cache spell them. Pure.

/** Of the names that match, the one with the highest version (the first group), numbers compared as numbers. */
export function newest(names: readonly string[], pattern: RegExp): { name: string; version: string } | undefined {
  const found = names.flatMap((name) => {
    const version = pattern.exec(name)?.[1];
    return version === undefined ? [] : [{ name, version }];
  });
  return found.sort((a, b) => compare(numbersIn(b.version), numbersIn(a.version)))[0];
}

function numbersIn(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
