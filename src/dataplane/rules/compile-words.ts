// The words of tables while rules come and go: one array that grows at its end. What is given up inside stays behind, until all is
// compiled anew. Cold; control thread.

/** Words behind new tables, for the first changes. */
const SLACK = 4096;

export class TableWords {
  /** Another array after a `take` that found no room. */
  all: Int32Array;
  end: number;

  constructor(size: number) {
    this.all = new Int32Array(size + SLACK);
    this.end = size;
  }

  /** Where so many more words begin, all of them 0. */
  take(count: number): number {
    const at = this.end;
    this.end += count;
    if (this.end > this.all.length) {
      const grown = new Int32Array(this.end + (this.end >> 2));
      grown.set(this.all);
      this.all = grown;
    }
    return at;
  }
}
