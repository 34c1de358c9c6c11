// A dataplane worker's turn without its thread: two virtqueue ports or more, and the rules of a RuleTable in this thread, so that a turn can be
// timed, and profiled, by itself. What runs is what a worker runs (dataplane/breathe.ts), function by function.
//
//   port 0: transmit ring --fetch--> burst --forward (by rules, if there are any)--> deliver --> receive ring: port 1 (2, 3 ...)
//
// Both drivers write their rings once (steady-ring.ts). One thread; `close` gives all memory back.

import { parseRule } from "../src/control/rules/parse-rule.ts";
import { resolveRule } from "../src/control/rules/resolve.ts";
import { breathe, breatheOnce } from "../src/dataplane/breathe.ts";
import { Fallback } from "../src/dataplane/fallback.ts";
import { allocateFdb, type Fdb } from "../src/dataplane/fdb-layout.ts";
import { fdbAddStatic } from "../src/dataplane/fdb-table.ts";
import { forward } from "../src/dataplane/forward.ts";
import { forwardPlanned } from "../src/dataplane/rules/forward-planned.ts";
import { PlanRunner } from "../src/dataplane/rules/plan.ts";
import { RuleTable } from "../src/dataplane/rules/table.ts";
import { CLOCK_S, MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "../src/dataplane/shared.ts";
import { Tables } from "../src/dataplane/tables.ts";
import type { WorkerRequest } from "../src/dataplane/worker.ts";
import { type Batch, BURST, MAX_FRAME } from "../src/mem/batch.ts";
import { RX_FRAMES, TX_FRAMES } from "../src/mem/counters.ts";
import { WindowTable } from "../src/mem/window.ts";
import { closeFd, eventFd } from "../src/sys/fd.ts";
import { mapShared, memfd, unmap, viewOf } from "../src/sys/memory.ts";
import { driverRingLayout } from "../src/virtio/driver-ring.ts";
import { NET_HEADER_SIZE } from "../src/virtio/net-header.ts";
import { openVirtqueueLane } from "../src/virtio/virtqueue-open.ts";
import { flowFrame, macOf, setFlow } from "./flow-frames.ts";
import { CLIENT_MACS } from "./peers/system.ts";
import { BUFFER_STRIDE, SteadyRing } from "./steady-ring.ts";

/** Small enough that buffers stay in the processor's cache, as a guest's do while it keeps up. */
export const RING = 256;
const BUFFER_SIZE = 2048;
/** VIRTIO_F_VERSION_1, in the features' high word. */
const VERSION_1 = 1;
const GIB = 2 ** 30;
/** Puts a ring's neighbours into different GiB. */
const SCATTER = 0x9e3779b1;

/** The turns that fit the rings. */
export const TURNS = RING / BURST;

/** Opens port `index` and its lane. */
function openPort({ windows, shared, tables, fdb, together, memoryGiB }: Dataplane, index: number, frameSize: number) {
  const receive = driverRingLayout(RING, 0);
  const transmit = driverRingLayout(RING, receive.bytes);
  const received = receive.bytes + transmit.bytes;
  const sent = received + RING * BUFFER_STRIDE;
  const size = sent + RING * BUFFER_STRIDE;
  // The same bytes in each GiB, mapped anew: another window, at another address.
  const file = memfd("bench", size);
  const mappings = Array.from({ length: memoryGiB }, () => mapShared(file, size, 0));
  closeFd(file);
  const memory = viewOf(mappings[0], 0, size);
  // Every page is there before anything is timed.
  new Uint8Array(memory).fill(0);
  const [kickFd, callFd] = [eventFd(), eventFd()];
  const at = index * MAX_PAIRS;
  const counters = shared.counters(0, at);
  const lane = openVirtqueueLane(
    {
      featuresLo: 0,
      featuresHi: VERSION_1,
      regions: mappings.map((address, k) => ({ guest: k * GIB, size, address })),
      deliver: { ...receive, kickFd, callFd, enabled: true },
      fetch: { ...transmit, kickFd, callFd, enabled: true },
    },
    { windows, state: shared.laneState(at), counters, shared: together, owner: true },
  );
  tables.set(at, lane, true);
  shared.control[SharedState.portWord(index, PORT_UP)] = 1;
  shared.control[SharedState.portWord(index, PORT_MAX_FRAME)] = MAX_FRAME;
  if (index < CLIENT_MACS.length) fdbAddStatic(fdb, CLIENT_MACS[index], index);
  const buffers = (at: number, length: number) => ({
    at,
    address: (i: number) => at + i * BUFFER_STRIDE + ((Math.imul(i, SCATTER) >>> 20) % memoryGiB) * GIB,
    length,
  });
  return {
    lane,
    counters,
    bytes: new Uint8Array(memory),
    halves: new Uint16Array(memory),
    receive: new SteadyRing(memory, receive, buffers(received, BUFFER_SIZE), true),
    transmit: new SteadyRing(memory, transmit, buffers(sent, NET_HEADER_SIZE + frameSize), false),
    close() {
      lane.close();
      closeFd(kickFd);
      closeFd(callFd);
      for (const address of mappings) unmap(address, size);
    },
  };
}

type BenchPort = ReturnType<typeof openPort>;

/** Whether that is what `port` received as number `total`. */
function sameFrame(sent: Uint8Array, { bytes, receive }: BenchPort, total: number): boolean {
  const at = receive.frameAt(total);
  return receive.lengthAt(total) === sent.length && sent.every((byte, k) => bytes[at + k] === byte);
}

/** What ports are opened in. */
interface Dataplane {
  readonly windows: WindowTable;
  readonly shared: SharedState;
  readonly fdb: Fdb;
  readonly tables: Tables;
  readonly together: boolean;
  /** Drivers' memory: buffers are scattered over so many GiB of addresses. */
  readonly memoryGiB: number;
}

export class OneWorker implements Dataplane {
  readonly windows = new WindowTable();
  readonly shared = SharedState.allocate(1);
  /** The worker's own: what its timed breaths took. */
  readonly numbers = this.shared.worker(0);
  readonly fdb: Fdb;
  readonly tables: Tables;
  /** Lanes are delivered into as where another worker may do so at the same time. */
  readonly together: boolean;
  readonly memoryGiB: number;
  private readonly fallback = new Fallback(this.windows);
  private readonly runner: PlanRunner;
  /** Frames come from the first. */
  private readonly ports: readonly BenchPort[];
  private readonly table: RuleTable;
  /** Before the last `rewind`: frames that port 0 had sent, and each other port received. */
  private before = { sent: 0, received: [] as number[] };

  constructor(
    private readonly frameSize: number,
    { ports = 2, fdb = allocateFdb(1024), together = false, memoryGiB = 1 } = {},
  ) {
    this.fdb = fdb;
    this.together = together;
    this.memoryGiB = memoryGiB;
    this.tables = new Tables(this.windows, this.fdb, this.shared.control, this.shared, 0);
    this.runner = new PlanRunner(this.windows, this.tables.batch, 0);
    this.shared.control[CLOCK_S] = 1;
    this.ports = Array.from({ length: ports }, (_, index) => openPort(this, index, frameSize));
    this.table = new RuleTable({
      dispatcher: {
        callAll: async (request: WorkerRequest) => this.take(request),
        delivers: () => true,
        isUp: () => true,
        shared: this.shared,
        workers: 1,
      },
      fdb: this.fdb,
      portName: (index) => `p${index}`,
      onLog: () => {},
    });
    const frame = flowFrame(frameSize, macOf(CLIENT_MACS[0]), macOf(CLIENT_MACS[1]));
    const { bytes, transmit } = this.ports[0];
    for (let n = 0; n < RING; n++) bytes.set(frame, transmit.frameAt(n));
  }

  private take(request: WorkerRequest): void {
    if (request.op === "plan") this.tables.plan = request.plan === null ? null : this.runner.open(request.plan);
  }

  /** Makes these the rules, in ringyard's words. */
  async rules(texts: readonly string[]): Promise<void> {
    const lookup = { port: (name: string) => Number(name.slice(1)), meter: () => undefined };
    const rules = texts.map((text, k) => resolveRule({ ...parseRule(text), id: k + 1 }, lookup));
    await this.table.replace(rules, []);
  }

  /** Puts TURNS bursts of frames of the flows from `flow` on into the rings; with `of` there are no more flows than that. */
  fill(flow: number, of: number): void {
    this.fillWith((halves, at, k) => setFlow(halves, at, of === 0 ? flow + k : (flow + k) % of));
  }

  /** The same with what `set` makes of the frame that begins at a half word, the k-th. */
  fillWith(set: (halves: Uint16Array, at: number, k: number) => void): void {
    const [{ halves, transmit }] = this.ports;
    this.rewind();
    for (let k = 0; k < RING; k++) set(halves, transmit.frameAt(transmit.shown + k) >> 1, k);
    this.show(RING);
  }

  /** One turn: a burst from port 0. */
  turn(): void {
    const { tables, fallback } = this;
    const { lane, counters } = this.ports[0];
    const batch = tables.batch;
    batch.reset();
    lane.fetch(batch);
    const plan = tables.plan;
    if (plan === null) forward(tables, fallback, batch, 0, counters);
    else forwardPlanned(tables, fallback, plan, batch, 0, counters);
    lane.release(batch);
  }

  /** Gives every buffer back; the frames in the transmit ring stay as they are, and wait to be shown. */
  rewind(): void {
    const [{ transmit }, ...others] = this.ports;
    transmit.poll();
    for (const { receive } of others) {
      receive.poll();
      receive.show(receive.room);
    }
    this.before = { sent: transmit.shown, received: others.map(({ receive }) => receive.done) };
  }

  /** Shows the next `count` frames of port 0 to the switch: RING of them in all after each `rewind`. */
  show(count: number): void {
    this.ports[0].transmit.show(count);
  }

  /** Throws where what the other ports received since `rewind` is not what port 0 sent: each frame once, byte for byte, in order. */
  checkArrived(): void {
    const [{ bytes, transmit }, ...others] = this.ports;
    const nexts = [...this.before.received];
    for (let n = this.before.sent; n < transmit.shown; n++) {
      const at = transmit.frameAt(n);
      const sent = bytes.subarray(at, at + this.frameSize);
      const to = others.findIndex((port, k) => nexts[k] < port.receive.poll() && sameFrame(sent, port, nexts[k]));
      if (to === -1) throw new Error(`frame ${n} did not arrive as it was sent, or not in its turn`);
      nexts[to]++;
    }
    const more = others.findIndex(({ receive }, k) => nexts[k] < receive.done);
    if (more !== -1) throw new Error(`port ${more + 1} received a frame that nobody sent`);
  }

  /** A worker's breath: all ports are polled. By `timed`, timed by stage or not, and counted or not; else now and then, as in a worker. */
  breath(timed?: boolean, counts = timed === true): number {
    const { fallback, numbers, tables } = this;
    if (timed === undefined) return breathe(tables, fallback, numbers);
    return breatheOnce(tables, fallback, numbers, timed, counts);
  }

  /** A burst that nothing is done with but `look`. */
  turnWith(look: (batch: Batch) => void): void {
    const { lane } = this.ports[0];
    const { batch } = this.tables;
    batch.reset();
    lane.fetch(batch);
    look(batch);
    lane.release(batch);
  }

  /** The plan that a worker would run: for a look at its parts. */
  get plan() {
    return this.tables.plan;
  }

  /** Of the lane that frames come from. */
  get counters(): Float64Array {
    return this.ports[0].counters;
  }

  /** Frames that were taken from port 0, and of these, delivered to the others. */
  get moved(): { taken: number; delivered: number } {
    const [from, ...others] = this.ports;
    const delivered = others.reduce((sum, { counters }) => sum + counters[TX_FRAMES], 0);
    return { taken: from.counters[RX_FRAMES], delivered };
  }

  close(): void {
    this.table.close();
    this.fallback.close();
    this.runner.close();
    for (const { close } of this.ports) close();
  }
}
