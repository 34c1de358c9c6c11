// What a run of the tests has to say in the end: how many passed, where the time went, and once more what failed, since a log of
// thousands of lines is read from its end. Pure; used by scripts/test.ts.

/** So many of the files that took longest are listed. */
const SLOWEST = 10;
/** Lines of a failure that are said again. */
const SAID_AGAIN = 40;

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** Reads the summary that `bun test` ends with; an exit code that the numbers do not explain is one failure more. */
export function tally(output: string, exitCode: number): Tally {
  const plain = Bun.stripANSI(output);
  const number = (word: string) => {
    const all = [...plain.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))];
    return Number(all.at(-1)?.[1] ?? 0);
  };
  const result = { passed: number("pass"), failed: number("fail"), skipped: number("skip") + number("todo") };
  const ran = result.passed + result.failed + result.skipped;
  if (result.failed === 0 && (exitCode !== 0 || ran === 0)) result.failed = 1;
  return result;
}

/** The last line; in CI what was skipped is counted as failed. */
export function summary(total: Tally, ci: boolean): { line: string; ok: boolean } {
  const failed = total.failed + (ci ? total.skipped : 0);
  const skipped = !ci && total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  return { line: `${total.passed} passed, ${failed} failed${skipped}`, ok: failed === 0 && total.passed > 0 };
}

/** What a file printed of the tests that failed, or last where it says of none: to be said again where nobody has to search for it. */
export function lastWords(output: string): string {
  const lines = Bun.stripANSI(output).trimEnd().split("\n");
  const ends = lines.flatMap((line, index) => (/^\((pass|fail|skip|todo)\) /.test(line) ? [index] : []));
  const failures = ends.flatMap((end, index) =>
    lines[end].startsWith("(fail)") ? [lines.slice((ends[index - 1] ?? -1) + 1, end + 1)] : [],
  );
  return (failures.length === 0 ? [lines] : failures).flatMap((block) => block.slice(-SAID_AGAIN)).join("\n");
}

/** How long a file took; `where` it ran, "host" or a kernel. */
export interface Timed {
  file: string;
  where: string;
  seconds: number;
}

/** The files that took longest, and what all of them took in each place. The first file of a machine has its boot. */
export function timeTable(times: readonly Timed[]): string {
  const row = (seconds: number, what: string) => `${seconds.toFixed(1).padStart(8)} s  ${what}`;
  const slowest = times.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  const places = [...Map.groupBy(times, ({ where }) => where)].map(([where, group]) => {
    const total = group.reduce((sum, { seconds }) => sum + seconds, 0);
    return row(total, `${group.length} ${group.length === 1 ? "file" : "files"} on ${where}`);
  });
  return [...slowest.map(({ file, where, seconds }) => row(seconds, `${file} on ${where}`)), ...places].join("\n");
}

/** What is known by the end. */
export class Results {
  readonly total: Tally = { passed: 0, failed: 0, skipped: 0 };
  readonly times: Timed[] = [];
  /** Of each file in which something failed, its name and what it said. */
  readonly failures: string[] = [];
  /** Runs that count for nothing, since the file ran again, and why. */
  readonly lost: string[] = [];

  /** Notes a run that counts for nothing but its time; returns what to say of it. */
  addLost(timed: Timed, why: string): string {
    this.times.push(timed);
    const line = `${timed.file} on ${timed.where}: ${why}`;
    this.lost.push(line);
    return line;
  }

  /** Adds what a test process said. */
  add(timed: Timed, output: string, exitCode: number): void {
    const { passed, failed, skipped } = tally(output, exitCode);
    this.total.passed += passed;
    this.total.failed += failed;
    this.total.skipped += skipped;
    this.times.push(timed);
    if (failed > 0) this.failures.push(`--- ${timed.file} on ${timed.where}\n${lastWords(output)}`);
  }
}
