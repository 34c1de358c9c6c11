// What a guest's second CPU does while the switch reads its rings: it rewrites descriptors, indirect tables, avail entries,
// indices and headers with values that are often nearly right. The test asserts; this only writes, until it is told to
// stop. Runs in a worker, over memory that the test's process has mapped.

import { viewOf } from "../../src/sys/memory.ts";
import { Random } from "../fuzz/random.ts";

/** Words of `RewriteTask.state`. */
export const STOP = 0;
export const ROUNDS = 1;

export interface RewriteTask {
  seed: number;
  state: Int32Array;
  /** The guest's region: where it is mapped here, where the guest says it is, how large it is. */
  address: number;
  guest: number;
  size: number;
  ringSize: number;
  /** Offsets in the region. */
  rings: { desc: number; avail: number; used: number; writable: boolean }[];
}

class Rewriter {
  private readonly view: DataView;

  constructor(
    private readonly task: RewriteTask,
    private readonly random: Random,
  ) {
    this.view = new DataView(viewOf(task.address, 0, task.size));
  }

  private descriptor(at: number, writable: boolean, count: number): void {
    const { random, view } = this;
    const { guest, size } = this.task;
    const address = guest + random.below(size + 4096);
    const flag = writable ? 2 : 0;
    switch (random.below(6)) {
      case 0:
        view.setBigUint64(at, random.once(50) ? BigInt(random.next()) << 32n : BigInt(address), true);
        break;
      case 1:
        view.setUint32(at + 8, random.pick([26, 72, 300, 1526, 4096, 65535, size, 0, 0xffffffff]), true);
        break;
      case 2:
        view.setUint16(at + 12, random.pick([flag, flag, flag, flag | 1, flag | 1, flag ^ 2, 4, 5]), true);
        break;
      case 3:
        view.setUint16(at + 14, random.below(count + 2), true);
        break;
      default:
        // A good one, so that frames pass in between.
        view.setBigUint64(at, BigInt(guest + random.below(size - 4096)), true);
        view.setUint32(at + 8, random.pick([72, 300, 1526, 16, 32]), true);
        view.setUint16(at + 12, random.once(4) ? 4 : flag, true);
    }
  }

  round(): void {
    const { random, view } = this;
    const { ringSize, rings, size } = this.task;
    for (const { desc, avail, used, writable } of rings) {
      for (let n = 0; n < 8; n++) this.descriptor(desc + random.below(ringSize) * 16, writable, ringSize);
      view.setUint16(avail + 4 + random.below(ringSize) * 2, random.once(500) ? 0xffff : random.below(ringSize), true);
      const done = view.getUint16(used + 2, true);
      const ahead = random.once(2000) ? ringSize + 1 : random.below(ringSize + 1);
      view.setUint16(avail + 2, (done + ahead) & 0xffff, true);
      view.setUint16(avail, random.below(2), true);
      // Frames' headers, or indirect tables, wherever they happen to be.
      const at = random.below(size / 64 - 16) * 64 + 64 * 8;
      if (random.once(2)) view.setUint32(at, random.pick([0, 0, 1, 0x101, 0x8101]), true);
      else this.descriptor(at & ~15, writable, 4);
    }
  }
}

export function runRewriter(task: RewriteTask): void {
  const rewriter = new Rewriter(task, new Random(task.seed));
  while (Atomics.load(task.state, STOP) === 0) {
    rewriter.round();
    Atomics.add(task.state, ROUNDS, 1);
  }
}
