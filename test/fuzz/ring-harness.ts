// Holds the split ring to its model (ring-model.ts): a case's memory is laid into an arena between canaries, the device
// fetches from the sender and delivers to the receiver until nothing moves, and then every byte of both memories, every
// counter and every canary is what the model says.
//
//   arena   canary | region | canary | region | canary ...
//
// Modules come from a root folder, so that a copy of the source with a planted mistake (mutant.ts) can be tried as well.

import { join } from "node:path";
import { mapAnonymous, viewOf } from "../../src/sys/memory.ts";
import type { Random } from "./random.ts";
import { caseToText, type Image, makeCase, type RingCase } from "./ring-case.ts";
import { type Counts, deliverAll, fetchAll, ModelMemory, walk } from "./ring-model.ts";

const ARENA = 256 * 1024;
const GAP = 256;
const CANARY = 0xc5;
/** Room for pieces: so little that chains run out of it, so much that only the rules end them. */
const WALK_ROOMS = [4, 1 << 16];
const CSUM_TSO4_ECN = (1 << 0) | (1 << 11) | (1 << 13);
/** In the upper half of the features. */
const VERSION_1 = 1 << 0;
const HOST_USO = 1 << 24;
const MRG_RXBUF = 1 << 15;

async function load(root: string) {
  const at = (path: string) => join(root, "src", path);
  const [window, batch, counters, state, memory, chain, ring, open] = (await Promise.all([
    import(at("mem/window.ts")),
    import(at("mem/batch.ts")),
    import(at("mem/counters.ts")),
    import(at("mem/lane-state.ts")),
    import(at("mem/guest-memory.ts")),
    import(at("virtio/chain.ts")),
    import(at("virtio/split-ring.ts")),
    import(at("virtio/virtqueue-open.ts")),
  ])) as [
    typeof import("../../src/mem/window.ts"),
    typeof import("../../src/mem/batch.ts"),
    typeof import("../../src/mem/counters.ts"),
    typeof import("../../src/mem/lane-state.ts"),
    typeof import("../../src/mem/guest-memory.ts"),
    typeof import("../../src/virtio/chain.ts"),
    typeof import("../../src/virtio/split-ring.ts"),
    typeof import("../../src/virtio/virtqueue-open.ts"),
  ];
  return { ...window, ...batch, ...counters, ...state, ...memory, ...chain, ...ring, ...open };
}

type Modules = Awaited<ReturnType<typeof load>>;

interface Placed {
  guest: number;
  size: number;
  address: number;
  bytes: Uint8Array;
}

export class RingHarness {
  private readonly arenaAddress = mapAnonymous(ARENA);
  private readonly arena = new Uint8Array(viewOf(this.arenaAddress, 0, ARENA));
  private readonly lists: InstanceType<Modules["SegmentList"]>[];
  private filled = 0;

  private constructor(private readonly modules: Modules) {
    this.lists = WALK_ROOMS.map((room) => new modules.SegmentList(room));
  }

  static async of(root: string): Promise<RingHarness> {
    return new RingHarness(await load(root));
  }

  /** Tries `rounds` cases; throws with the case that was found wanting, as text. */
  run(random: Random, rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      const it = makeCase(random);
      const problem = this.problem(it);
      if (problem === null) continue;
      throw new Error(
        `seed ${random.seed}, round ${round}: ${problem}\nkeep as crashers/ring/NAME.case: ${caseToText(it)}`,
      );
    }
  }

  /** What is wrong with how the device handles a case, or null. */
  problem(it: RingCase): string | null {
    try {
      return this.walkProblem(it.sender, 0) ?? this.walkProblem(it.receiver, 2) ?? this.moveProblem(it);
    } catch (error) {
      return `threw ${(error as Error).message}`;
    }
  }

  private place(image: Image): Placed[] {
    return image.regions.map(({ guest, bytes }) => {
      const start = this.filled + GAP;
      this.filled = Math.ceil((start + bytes.length) / 16) * 16;
      this.arena.fill(CANARY, start - GAP, this.filled + GAP);
      this.arena.set(bytes, start);
      const placed = this.arena.subarray(start, start + bytes.length);
      return { guest, size: bytes.length, address: this.arenaAddress + start, bytes: placed };
    });
  }

  /** Bytes outside the regions that lost their canary. */
  private canaryProblem(regions: readonly Placed[]): string | null {
    const kept = regions.map(({ bytes }) => bytes.slice());
    for (const { bytes } of regions) bytes.fill(CANARY);
    const at = this.arena.subarray(0, this.filled + GAP).findIndex((byte) => byte !== CANARY);
    for (const [n, { bytes }] of regions.entries()) bytes.set(kept[n]);
    return at < 0 ? null : `a byte outside all memory was written (arena ${at})`;
  }

  /** Walks from every head, and compares pieces and outcomes. */
  private walkProblem(image: Image, direction: number): string | null {
    const { GuestMemory, WindowTable, openSplitRing, walkChain, COUNTER_NAMES } = this.modules;
    this.filled = 0;
    const regions = this.place(image);
    const memory = new GuestMemory(new WindowTable());
    for (const { guest, size, address } of regions) memory.add(guest, size, address);
    const { size, desc, avail, used } = image.ring;
    const ring = openSplitRing(memory, { size, desc, avail, used, eventIdx: false });
    const model = new ModelMemory(image.regions);
    for (let head = 0; head < size; head++) {
      for (const out of this.lists) {
        const already = head % 3;
        out.count = already;
        const outcome = walkChain(ring, memory, head, direction, out);
        const wanted = walk(model, desc, size, head, direction, out.window.length - already);
        const pieces = Array.from({ length: out.count - already }, (_, n) => {
          const s = already + n;
          const address = memory.windows.address[out.window[s]] + out.offset[s];
          const region = regions.find((r) => address >= r.address && address < r.address + r.size);
          return {
            address: region === undefined ? -1 : address - region.address + region.guest,
            length: out.length[s],
          };
        });
        const got = outcome === 0 ? pieces : COUNTER_NAMES[outcome];
        if (outcome !== 0 && out.count !== already) return `head ${head}: a refused chain left pieces behind`;
        if (JSON.stringify(got) !== JSON.stringify(wanted)) {
          return `head ${head}: walked ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`;
        }
        const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
        if (outcome === 0 && out.bytes !== bytes) return `head ${head}: ${out.bytes} bytes in pieces of ${bytes}`;
      }
    }
    return null;
  }

  /** Moves everything from the sender to the receiver, and compares all that is left. */
  private moveProblem(it: RingCase): string | null {
    const { Batch, BURST, WindowTable } = this.modules;
    this.filled = 0;
    const windows = new WindowTable();
    const sender = this.open(windows, it.sender, "fetch", it.forms ? CSUM_TSO4_ECN : 0, it.uso ? HOST_USO : 0);
    const receiver = this.open(windows, it.receiver, "deliver", it.mergeable ? MRG_RXBUF : 0, 0);
    const batch = new Batch();
    const every = Int32Array.from({ length: BURST }, (_, n) => n);
    const pieces: number[] = [];
    try {
      for (let turn = 0; turn <= it.sender.ring.size; turn++) {
        batch.reset();
        const count = sender.lane.fetch(batch);
        pieces.push(...batch.segments.subarray(0, count));
        for (let i = 0; i < count; i++) {
          const lengths = batch.pool.length.subarray(batch.first[i], batch.first[i] + batch.segments[i]);
          const sum = lengths.reduce((total, length) => total + length, 0);
          if (sum !== batch.length[i]) return `a frame of ${batch.length[i]} bytes in pieces of ${sum}`;
        }
        if (count > 0) receiver.lane.deliver(batch, every, count);
        sender.lane.release(batch);
      }
    } finally {
      sender.lane.close();
      receiver.lane.close();
    }
    const wanted = modelMove(it);
    const got = this.counts(sender.counters, receiver.counters);
    if (got !== wanted.counts && !wanted.ofUsed) return `counted ${got}, wanted ${wanted.counts}`;
    if (pieces.join() !== wanted.pieces) return `frames in ${pieces} pieces, wanted ${wanted.pieces}`;
    // What such a frame says is up to the device; that nothing else was written is seen all the same.
    if (wanted.ofUsed) wanted.receiver = receiver.regions.map(({ bytes }) => bytes.slice());
    else forgive(it.receiver, receiver.regions[0].bytes, wanted.receiver[0]);
    for (const [side, placed, model] of [
      ["sender", sender.regions, wanted.sender],
      ["receiver", receiver.regions, wanted.receiver],
    ] as const) {
      for (const [n, { bytes }] of placed.entries()) {
        const at = bytes.findIndex((byte, index) => byte !== model[n][index]);
        if (at >= 0) return `the ${side}'s region ${n} differs at ${at}: ${bytes[at]}, wanted ${model[n][at]}`;
      }
    }
    return this.canaryProblem([...sender.regions, ...receiver.regions]);
  }

  private open(
    windows: InstanceType<Modules["WindowTable"]>,
    image: Image,
    side: "fetch" | "deliver",
    featuresLo: number,
    featuresHi: number,
  ) {
    const { COUNTER_COUNT, LANE_STATE_LENGTH, FETCH_AVAIL, FETCH_USED, DELIVER_NEXT, openVirtqueueLane } = this.modules;
    const regions = this.place(image);
    const counters = new Float64Array(COUNTER_COUNT);
    const state = new Int32Array(LANE_STATE_LENGTH);
    for (const word of [FETCH_AVAIL, FETCH_USED, DELIVER_NEXT]) state[word] = image.ring.next;
    const { size, desc, avail, used } = image.ring;
    const ring = { size, desc, avail, used, kickFd: -1, callFd: -1, enabled: true };
    const lane = openVirtqueueLane(
      { featuresLo, featuresHi: featuresHi | VERSION_1, regions, deliver: null, fetch: null, [side]: ring },
      { windows, state, counters, shared: false, owner: true },
    );
    return { lane, counters, regions };
  }

  private counts(...rows: Float64Array[]): string {
    const { COUNTER_NAMES, RX_FRAMES, RX_BYTES, TX_FRAMES, TX_BYTES } = this.modules;
    const named: [string, number][] = [
      ["rxFrames", RX_FRAMES],
      ["rxBytes", RX_BYTES],
      ["txFrames", TX_FRAMES],
      ["txBytes", TX_BYTES],
    ];
    COUNTER_NAMES.forEach((name, index) => {
      if (name !== undefined) named.push([name, index]);
    });
    const counts: Counts = {};
    for (const [name, index] of named) {
      const sum = rows.reduce((total, row) => total + row[index], 0);
      if (sum > 0) counts[name] = sum;
    }
    return sorted(counts);
  }
}

/** Used entries that are not published are the device's to write: takes them over from what was found. */
function forgive({ ring, regions }: Image, found: Uint8Array, model: Uint8Array): void {
  const used = ring.used - regions[0].guest;
  const published = (new DataView(found.buffer, found.byteOffset).getUint16(used + 2, true) - ring.next) & 0xffff;
  for (let n = published; n < ring.size; n++) {
    const at = used + 4 + ((ring.next + n) % ring.size) * 8;
    model.set(found.subarray(at, at + 8), at);
  }
}

function sorted(counts: Counts): string {
  return JSON.stringify(Object.fromEntries(Object.entries(counts).sort()));
}

interface Moved {
  counts: string;
  pieces: string;
  sender: Uint8Array[];
  receiver: Uint8Array[];
  /** ModelFrame.ofUsed, of any frame. */
  ofUsed: boolean;
}

function modelMove(it: RingCase): Moved {
  const copy = ({ regions }: Image) => regions.map(({ guest, bytes }) => ({ guest, bytes: bytes.slice() }));
  const [sender, receiver] = [copy(it.sender), copy(it.receiver)];
  const counts: Counts = {};
  const forms = { csum: it.forms, tso4: it.forms, tso6: false, ecn: it.forms, uso: it.uso };
  const frames = fetchAll(new ModelMemory(sender), it.sender.ring, forms, counts);
  deliverAll(new ModelMemory(receiver), it.receiver.ring, it.mergeable, frames, counts);
  return {
    counts: sorted(counts),
    pieces: frames.map(({ pieces }) => pieces).join(),
    sender: sender.map(({ bytes }) => bytes),
    receiver: receiver.map(({ bytes }) => bytes),
    ofUsed: frames.some(({ ofUsed }) => ofUsed),
  };
}
