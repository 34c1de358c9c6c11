// What a port kind is, seen from both of its threads.
//
//   control thread (may await, throw)                 dataplane worker (hot)
//   PortKind.open(spec, host) -> Port                 LaneFactory(config, context) -> Lane
//      Port.details / set / close                         Lane.fetch / deliver / release / arm
//              |                                                ^
//              +-- host.openLane(pair, config) -- mailbox ------+
//
// A lane is one queue pair of a port inside one worker. `dataplane` knows only this file; `control/wiring.ts` hands the
// kinds in. Everything that crosses the mailbox is plain data (numbers, strings, arrays): a `LaneConfig`.

import type { ZodType } from "zod";
import type { Batch } from "../mem/batch.ts";
import type { DmaSpace } from "../mem/dma.ts";
import type { ZeroCopy } from "../mem/held.ts";
import type { WindowTable } from "../mem/window.ts";
import type { Reactor } from "../sys/reactor.ts";
import type { DriverQueueConfig } from "../virtio/driver-queue.ts";
import type { VirtqueueConfig } from "../virtio/virtqueue-open.ts";

/** A parsed port URI: `kind:target?option=value`. */
export interface PortSpec {
  name: string;
  /** The canonical URI, as `config show` prints it; equal URIs mean an unchanged port. */
  uri: string;
  kind: string;
  target: string;
  /** Validated by the common option schema and the kind's own. */
  options: PortOptions;
}

/** Options common to every kind, and the kind's own by name. */
export interface PortOptions {
  mac?: string;
  mtu?: number;
  queues?: number;
  /** Of the switch's, the one whose worker has the first queue pair; absent: by the port's index. */
  cpu?: number;
  /** The link at the start, up where absent; `Port.setLink` tells of changes. Not part of the canonical URI. */
  link?: "up" | "down";
  /** Which offloads the port offers: a set of `csum`, `tso4`, `tso6`, `ecn`, `uso`; absent means all. */
  offload?: string[];
  [option: string]: unknown;
}

/** What `doctor` says about a kind on this machine. */
export interface PortProbe {
  available: boolean;
  /** Why not, or what limits it. */
  reason?: string;
  /** The command that would enable it. */
  next?: string;
}

/** A port kind: what a URI scheme stands for. Control thread. */
export interface PortKind {
  readonly kind: string;
  /** One line for `--help` and `doctor`. */
  readonly summary: string;
  /** What follows `kind:` in a URI, for messages: "PATH", "NAME", "" (nothing). */
  readonly targetForm: string;
  /** Schema of each option this kind takes beside the common ones; values arrive as strings from a URI. */
  readonly options: Readonly<Record<string, ZodType>>;
  /** What is wrong with a target, for `config check` and before `open`; absent: nothing can be. Pure. */
  check?(target: string): TargetProblem | undefined;
  /** The same of options that are well by themselves, and not for this kind. Pure. */
  checkOptions?(options: PortOptions): OptionProblem | undefined;
  probe(): PortProbe;
  /** Makes the port, or throws a RingyardError and leaves nothing half made. */
  open(spec: PortSpec, host: PortHost): Promise<Port>;
  /**
   * Takes away what a process that is gone made and left, and nothing that a living one serves. In a process without ports.
   * Absent where nothing outlives its process. Throws RingyardError; MISSING where the machine has no such devices.
   */
  removeLeftovers?(): Promise<Leftovers>;
}

/** A mistake in a port's target, and what to write instead. */
export interface TargetProblem {
  message: string;
  next: string;
}

/** One in its options. */
export interface OptionProblem extends TargetProblem {
  option: string;
}

/** What became of devices that an earlier process left, by their targets. */
export interface Leftovers {
  removed: string[];
  failed: { name: string; reason: string }[];
  /** Not left over: another process serves them. */
  served: string[];
}

/** Plain data for `port show`. */
export type PortDetails = Record<string, string | number | boolean | string[] | Record<string, number>>;

/** Where a port's device is to be attached: into a container's namespace, or to a VM. */
export type AttachTarget =
  | {
      to: "netns";
      /** Name, PID or absolute path of the network namespace. */
      netns: string;
      /** Name of the device in there; default `eth0`. */
      ifname?: string;
      /** Addresses with prefix lengths, IPv4 or IPv6. */
      ip?: string[];
    }
  | { to: "vm" };

/** What an attachment led to. */
export interface Attached {
  /** For a container: its device. */
  netdev?: { netns: string; ifname: string; mac: string };
  /** For a VM: the character device, and the arguments that make QEMU use it. */
  vm?: { path: string; qemu: string[] };
}

/** A running port, control side. */
export interface Port {
  /** Kind-specific facts for `port show`: socket, connection, features, memory, seals, queue sizes, ... */
  details(): PortDetails;
  /**
   * Stops the lanes, gives every fd and mapping back, removes what the port made. With `keep`, the switch ends and will be
   * back: what a container or VM holds on to stays, for the next start to adopt. Idempotent.
   */
  close(keep?: boolean): Promise<void>;
  /** Gives the port's device to a container or a VM. Absent where the driver comes by itself. Throws RingyardError. */
  attach?(target: AttachTarget): Promise<Attached>;
  /** Takes it away again; the port stays. Throws RingyardError. */
  detach?(): Promise<void>;
  /** The administrator took the link down or up; a kind that can tell its driver does. */
  setLink?(up: boolean): void;
  /** Applies a changed option while running, or returns false: then the port has to be made anew. */
  set?(options: PortOptions): Promise<boolean>;
}

/** What the switch offers a port kind. Implemented by `control/running-port.ts`, called on the control thread. */
export interface PortHost {
  /** Port index, 0 to MAX_PORTS - 1; also the index in the fdb and the counters. */
  readonly index: number;
  readonly reactor: Reactor;
  readonly log: PortLog;
  /** Processors that workers are pinned to: nothing else should run there. */
  readonly workerCpus: readonly number[];
  /** Opens queue pair `pair` on the worker that owns it; resolves when the worker runs it. */
  openLane(pair: number, config: LaneConfig): Promise<void>;
  /** Stops a queue pair; resolves when no worker touches its memory any more. A pair that is not open is fine. */
  closeLane(pair: number): Promise<void>;
  /** Resolves when every worker has passed a breath boundary: what it used before, it uses no more. */
  fence(): Promise<void>;
  /** The shared state words of a queue pair (see `lane-state.ts`): survive the lane, readable here at any time. */
  laneState(pair: number): Int32Array;
  /** Whether a driver is there: frames to a port without carrier are dropped and counted as `link_down`. */
  setCarrier(up: boolean): void;
  /** Counts a bad message or a broken connection on this port; shown by `port show`. */
  countError(name: string): void;
  /**
   * Lets the switch's NICs, those of now and those to come, read and write this memory, so that frames in it need no copy to
   * the wire. For mappings of a driver's memory that may be pinned, once made and before lanes use them. Never rejects: what
   * cannot be mapped for a NIC is copied, and `port show` says why.
   */
  shareMemory(regions: readonly SharedRegion[]): Promise<MemoryShare>;
  /**
   * Of a NIC's port: its device works in `space`. Before its lanes are opened: those opened without it copy, and so they do
   * where a NIC of another space was first. `reset` is called when a sender's memory must go, or frames stand still, and the
   * NIC has not sent them: it makes the device touch no memory any more (lanes closed, Nic.stop), calls `settle`, and may start
   * again then.
   */
  provideDma(space: DmaSpace, reset: () => Promise<void>): Promise<DmaProvision>;
}

/** A mapping of this process. */
export interface SharedRegion {
  address: number;
  size: number;
}

export interface MemoryShare {
  /**
   * To be awaited after the lanes that use the memory are closed, and before it is unmapped: no NIC reaches it when this
   * resolves. Frames that NICs still send are waited for. Idempotent; never rejects.
   */
  release(): Promise<void>;
}

export interface DmaProvision {
  /** The device touches no memory: all that it was given to send counts as sent, and goes back to its senders. */
  settle(): void;
  /** The device is about to leave its space, and touches no memory any more. Idempotent; never rejects. */
  withdraw(): Promise<void>;
}

export interface PortLog {
  info(message: string, facts?: Record<string, unknown>): void;
  warn(message: string, facts?: Record<string, unknown>): void;
}

/** Plain data that crosses the mailbox: everything a worker needs to build a lane. */
export type LaneConfig =
  | ({ driver: "virtqueue" } & VirtqueueConfig)
  | {
      driver: "tap";
      fd: number;
      /** OFFLOAD_* forms that may be written to the device; those it may hand us were told to the kernel. */
      accepts: number;
    }
  | {
      driver: "virtio-nic";
      /** Negotiated virtio feature bits, low and high word. */
      featuresLo: number;
      featuresHi: number;
      receive: DriverQueueConfig;
      transmit: DriverQueueConfig;
      /** eventfd of the pair's interrupt, or -1: then the device is polled. */
      wakeFd: number;
      /** Longest frame that may be sent, super-frames aside. */
      maxFrame: number;
      /** The BAR that takes the kicks. */
      registers: DeviceRegisters;
    }
  | {
      /** A queue pair of an Intel NIC (ports/vfio/intel/layout.ts says what lies where). */
      driver: "intel";
      registers: DeviceRegisters;
      layout: { rxCount: number; txCount: number; rxBufferSize: number };
      /** The pair's DMA memory in this process and for the device, and memory of its own for positions. */
      address: number;
      iova: number;
      own: number;
      /** Offsets of the tail registers. */
      rxTail: number;
      txTail: number;
      /** Whether descriptors are the 82576's. */
      advanced: boolean;
      /** Offsets of the registers that clear, unmask and mask the pair's interrupt, and its bit there. */
      interrupt: { clear: number; unmask: number; mask: number; cause: number };
      /** The interrupt's eventfd, or -1: then the device is polled. */
      wakeFd: number;
      /** OFFLOAD_* forms that may be transmitted. */
      accepts: number;
      /** Longest frame either way, super-frames aside. */
      maxFrame: number;
    }
  | { driver: "null" };

/** A BAR as a worker opens it: what ports/vfio/registers.ts calls a RegistersConfig. */
export type DeviceRegisters =
  | { address: number; size: number }
  | { fd: number; offset: number; size: number; pieces?: { at: number; address: number; size: number }[] };

/** What a worker gives to a lane it builds. */
export interface LaneContext {
  windows: WindowTable;
  /** State words of this queue pair, shared with other workers and the control thread. */
  state: Int32Array;
  /** Counters of this queue pair, written by this worker only. */
  counters: Float64Array;
  /** Whether more than one worker delivers into this lane: then a delivery takes the lane's lock. */
  shared: boolean;
  /** Whether this worker fetches from the lane (another one may only deliver into it). */
  owner: boolean;
  /** For lanes that hold frames, or whose frames are held (mem/held.ts). Workers always give it; tests of one lane need not. */
  zeroCopy?: ZeroCopy;
}

/**
 * One queue pair inside one worker. `fetch`, `deliver`, `release`, `arm`, `disarm` run per burst and obey the hot rules.
 * A lane never throws from them; what goes wrong is counted and, where the ring is broken, the lane stops itself.
 */
export interface Lane {
  /** Forms this receiver accepts: OFFLOAD_* bits of `mem/batch.ts`. */
  readonly accepts: number;
  /** Whether frames may be sent here: not while the driver's receive queue is stopped or disabled. */
  readonly delivers: boolean;
  /** fd that becomes readable when `fetch` has work, or -1. */
  readonly wakeFd: number;
  /** Whether wakeFd is an eventfd, to be watched edge-triggered (a tap's fd is level-triggered). */
  readonly wakeEdge: boolean;
  /** Appends up to BURST frames to an empty batch; returns how many. */
  fetch(batch: Batch): number;
  /**
   * The batch's frames are no longer read, but for those with `heldBy`: give the buffers back, publish, notify. Called every
   * breath, also with an empty batch, and while nothing is fetched, so that held buffers go back.
   */
  release(batch: Batch): void;
  /**
   * Copies frames `list[0..count)` (indices into the batch) to the receiver, in order, or holds them (mem/held.ts). Counts what
   * it delivers and drops. Never blocks. Returns how many were delivered.
   */
  deliver(batch: Batch, list: Int32Array, count: number): number;
  /**
   * False: no frame would find room now, and `deliver` would count each as `no_buffer`. Any worker; takes no lock, so that it says what was so a moment
   * ago. Absent where only trying tells.
   */
  hasRoom?(): boolean;
  /** Of a NIC's lane: looks which held frames were sent, and publishes TX_REAPED. Any worker; takes the lane's lock. */
  reap?(): void;
  /** Asks for a wake-up through wakeFd; returns true when work is there already (then do not sleep). */
  arm(): boolean;
  /** Work is polled again: wake-ups are not wanted. */
  disarm(): void;
  /** Forgets every view of foreign memory. Cold. */
  close(): void;
}

/** Builds a lane from its configuration. Cold; may throw RingyardError, which answers the mailbox command. */
export type LaneFactory = (config: LaneConfig, context: LaneContext) => Lane;
