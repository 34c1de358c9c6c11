// The fields of records in one Int32Array, each as an array of its own over the same memory, so that fields[k][at] is word k of the
// record that begins at word `at`.
//
//   words       | a0 | a1 | a2 | b0 | b1 | b2 | …
//   fields[1]        | a1 | a2 | b0 | b1 | b2 …        fields[1][3] is b1
//
// For private memory that hot files keep as constants of their module. The engine writes each array's address into its machine code then,
// and as all have one length, one look whether `at` is below it serves for all. As words[at + 1] every access is an addition and a look
// of its own: comparing eight words of two records took 80 instructions, and takes 40.

/** Fields 0 to count-1 of `words`, whose records have at least so many words. Places up to the last record's may be asked for. */
export function fieldViews(words: Int32Array, count: number): Int32Array[] {
  const bytes = Int32Array.BYTES_PER_ELEMENT;
  return Array.from({ length: count }, (_, k) => {
    return new Int32Array(words.buffer, words.byteOffset + k * bytes, words.length - count + 1);
  });
}
