// What JavaScriptCore's log of collections (BUN_JSC_logGC=1) says of the threads of a program that is ending. Each thread has a heap of
// its own, which the log names by its address; those of workers say when they are shut down, that of the main thread never does.
//
//   [GC<0x3b2e4a28118>: START M 22246kb => FullCollection, …]   …   [GC<0x3b2e4a28118>: shutdown: …]
//
// A heap that is shut down is collected then, which does not count. Pure.

/** How many collections of workers' heaps `during` has; `whole` is the log up to the end. Throws where no worker ended in it. */
export function workerCollections(during: string, whole: string): number {
  const workers = new Set([...whole.matchAll(/GC<(\w+)>: shutdown/g)].map((match) => match[1]));
  if (workers.size === 0) throw new Error("the log of collections does not tell which heaps are workers'");
  return [...during.matchAll(/GC<(\w+)>: START/g)].filter((match) => workers.has(match[1])).length;
}
