// Sets of processors, as Linux writes them: lists (`0-1,4`) and masks (`00000013`). Pure.

/** Linux numbers CPUs from 0; 1024 is the size of glibc's cpu_set_t, which pins the workers. */
export const CPU_COUNT_MAX = 1024;

/** `0-1,4` as [0, 1, 4], or null where it is no list of CPUs. */
export function parseCpus(text: string): number[] | null {
  const cpus = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part);
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last >= CPU_COUNT_MAX) return null;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

/** [0, 33] as `00000002,00000001`: words of 32 bits in hex, the highest first. */
export function cpuMask(cpus: readonly number[]): string {
  const words = new Uint32Array((Math.max(...cpus) >> 5) + 1);
  for (const cpu of cpus) words[cpu >> 5] |= 1 << (cpu & 31);
  return Array.from(words, (word) => word.toString(16).padStart(8, "0"))
    .reverse()
    .join();
}
