// What the switch can be asked: the one interface between the running switch and everything that talks to it (the control
// socket, the configuration, an embedding program, tests). Control thread only. All results are plain data, fit for CBOR
// and JSON; times are in ms or s as named, counters are numbers below 2^53.

import type { LimitCounters } from "../dataplane/bridge/bridge-memory.ts";
import type { Attached, AttachTarget, PortDetails, PortProbe, PortSpec } from "../ports/port.ts";
import type { CaptureApi } from "./capture.ts";
import type { PolicyApi } from "./policy/policy-service.ts";
import type { Rows } from "./rows.ts";
import type { RulesApi } from "./rules/rules-api.ts";

export type PollMode = "adaptive" | "busy" | "interrupt";

/** Why the switch blocks a port: a probe of the loop guard came in there, or more addresses than its policy allows. */
export type BlockReason = "loop" | "mac-limit";

/** Frames and bytes each way and drops by reason; `rx` is what the port's driver sent to the switch. */
export interface Counters {
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Of txFrames on a NIC's port: those read by the NIC in their sender's memory, and those copied for it. Absent where 0. */
  txZeroCopy?: number;
  txCopied?: number;
  /**
   * Frames made beyond those that were received: of a port's own for floods, mirrors and rules; segments and probes count where they leave.
   * Absent where 0.
   */
  copies?: number;
  /** Reason name (`no_buffer`, `oversized`, `malformed`, `link_down`, ...) to count; reasons that never happened are absent. */
  drops: Record<string, number>;
}

export interface QueueInfo extends Counters {
  queue: number;
  worker: number;
  state: "running" | "stopped" | "broken";
}

export interface PortInfo extends Counters {
  name: string;
  index: number;
  kind: string;
  uri: string;
  /** Administrative wish and what is: a port is up when both hold. */
  admin: "up" | "down";
  carrier: boolean;
  /** No frame passes, whatever admin and carrier say. */
  blocked?: BlockReason;
  /** Seconds until a blocked port is tried again; absent: not before its link is set up. */
  retryS?: number;
  /** How often it was blocked; absent: never. */
  blocks?: number;
  /** What its limits have counted, by name: `police`, `shape`, `storm-broadcast`, ...; absent where it has none. */
  limits?: Record<string, LimitCounters>;
  mac?: string;
  mtu?: number;
  queues: QueueInfo[];
  /** Bad messages, lost connections, ... by name. */
  errors: Record<string, number>;
  details: PortDetails;
  /** Dynamic addresses learned on the port. */
  macs: number;
  /** At most so many of them, where the port has a limit of its own. */
  macLimit?: number;
  /** How many addresses came to the port from other ones; absent: none. */
  macMoves?: number;
}

export interface FdbEntry {
  mac: string;
  /** Absent: the switch has none. */
  vlan?: number;
  port: string;
  ageS: number;
  static: boolean;
  /** At a sticky port: the address does not move to others. */
  sticky?: boolean;
}

/** An address that moves to and fro. */
export interface FlappingInfo {
  mac: string;
  vlan?: number;
  /** Between which it moves. */
  ports: string[];
  /** Within the last 10 s. */
  moves: number;
}

export interface FdbInfo {
  entries: FdbEntry[];
  limit: number;
  ageingS: number;
  counters: { learned: number; moved: number; evicted: number; aged: number };
  /** Absent: none. */
  flapping?: FlappingInfo[];
}

/** FdbInfo with entries that are made when they are taken. */
export type FdbRows = Omit<FdbInfo, "entries"> & { entries: Rows<FdbEntry> };

export interface WorkerInfo {
  worker: number;
  cpu: number;
  lanes: number;
  breaths: number;
  sleeps: number;
  /** Breaths that moved at least one frame. */
  busyBreaths: number;
  /** Taken from all ports in these. */
  frames: number;
  /** Of these breaths, some were timed: sums since the start, so that two readings give what lies between them. */
  timed: TimedBreaths;
}

/** What timed breaths took in all, in nanoseconds of the worker's busy time, by stage (mem/stages.ts says what is in each). */
export interface TimedBreaths {
  breaths: number;
  frames: number;
  fetchNs: number;
  classifyNs: number;
  copyNs: number;
  publishNs: number;
}

export interface SwitchStats {
  uptimeS: number;
  poll: PollMode;
  /** The law of the switch: rxFrames + copies = txFrames + dropped, over all ports, when idle. */
  totals: { rxFrames: number; rxBytes: number; txFrames: number; txBytes: number; copies: number; dropped: number };
  ports: (Counters & { name: string })[];
  workers: WorkerInfo[];
}

/** Settings of a port that change while it runs. */
export interface PortChanges {
  link?: "up" | "down";
  /** Null: what the kind has where nobody asks for one. */
  mtu?: number | null;
  /** At most so many learned addresses. */
  macLimit?: number;
}

/** Settings of the switch as a whole; what is absent has its default. */
export interface SwitchSettings {
  /** CPUs that carry one dataplane worker each; default: one worker, not pinned. */
  cpus?: number[];
  poll?: PollMode;
  /** Seconds; default 300. */
  ageingS?: number;
  /** Addresses the fdb holds; default 65536. */
  macLimit?: number;
}

/** How a port or a switch ends. */
export interface EndOptions {
  /** It will be back: what a container or VM holds on to stays for it. Else nothing does. */
  keep?: boolean;
}

/** What became of the ports of a switch that ended, by their names. */
export interface SwitchEnd {
  /** Their devices stay, with a container or a VM. */
  kept: string[];
  /** They could not be taken away, or let go. */
  failed: { name: string; reason: string }[];
}

export interface SwitchApi {
  readonly settings: Readonly<Required<Omit<SwitchSettings, "cpus">> & { cpus: number[] }>;
  readonly rules: RulesApi;
  readonly policy: PolicyApi;
  readonly capture: CaptureApi;
  addPort(spec: PortSpec): Promise<PortInfo>;
  /**
   * Runs `action` while no frame is taken from any port: what drivers send waits in their rings. For a start: the port that is
   * there first would send frames to nowhere that wait for the last. Not to be nested.
   */
  whileHeld<T>(action: () => Promise<T>): Promise<T>;
  removePort(name: string, options?: EndOptions): Promise<void>;
  setPort(name: string, changes: PortChanges): Promise<PortInfo>;
  /**
   * Gives the port's device to a container or a VM. The kernel may take a minute; other requests and changes of other
   * ports go on meanwhile, and whatever removes this port waits. Throws UNSUPPORTED where a kind has nothing to attach.
   */
  attachPort(name: string, target: AttachTarget): Promise<Attached>;
  /** Takes it away again; the port stays. */
  detachPort(name: string): Promise<PortInfo>;
  /** While an attach or detach of the port is under way: resolves at its end, however it ends. Else, or without a port, undefined. */
  attaching(name: string): Promise<unknown> | undefined;
  /** Throws RingyardError NOT_FOUND. */
  port(name: string): PortInfo;
  ports(): PortInfo[];
  /** Of one port, of one VLAN, where given. A million addresses take seconds, in which other work goes on: they are not of one moment. */
  fdb(portName?: string, vlan?: number): Promise<FdbInfo>;
  /** The same for one who may take long to read: entries are made when they are taken (no plain data then), the rest is of now. */
  fdbRows(portName?: string, vlan?: number): FdbRows;
  /** How many addresses were learned, by VLAN; 0 is a switch without VLANs. */
  fdbLearned(): Promise<Map<number, number>>;
  /**
   * Without a VLAN: that of the port's untagged frames. `back`: it was pinned so before and is again, to whatever the port belongs by now;
   * without a VLAN then to none.
   */
  fdbAdd(mac: string, portName: string, vlan?: number, back?: boolean): void;
  /** Without a VLAN: wherever the address is. */
  fdbDelete(mac: string, vlan?: number): void;
  /** Forgets learned addresses, of one port or of all; resolves to how many. Of a million it takes a moment, in which other work goes on. */
  fdbFlush(portName?: string, vlan?: number): Promise<number>;
  /** Changes that need no restart (`ageingS`, `poll`); throws for those that do. */
  configure(settings: SwitchSettings): void;
  stats(): SwitchStats;
  /** What this machine can do, by port kind. */
  probe(): Record<string, PortProbe & { summary: string }>;
  /** Drains, removes every port, ends the workers. Idempotent: the first call says how. */
  close(options?: EndOptions): Promise<SwitchEnd>;
}

/** The contract of `control/switch.ts`: starts the workers and returns when they run. */
export type CreateSwitch = (settings: SwitchSettings, log: SwitchLog) => Promise<SwitchApi>;

export interface SwitchLog {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
  error(facts: Record<string, unknown>, message: string): void;
}
