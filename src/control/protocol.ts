// What is said over the control socket: one request at a time, each answered in order by one or more replies.
//
//   request  { id, op, args [, more: true] }             more: further parts of the same arguments follow
//   reply    { id, ok: true, result [, more: true] }      more: further parts of the same result follow
//            { id, ok: false, error: { code, message [, next] } }     id 0: the frame could not be read
//
// A result is an object, and so are arguments. One that is longer than a frame comes in parts, which merge by a simple rule:
// elements of its arrays are appended, everything else stands in the first part (`parts.ts`).

import type { ErrorCode } from "../core/errors.ts";
import type { Attached } from "../ports/port.ts";
import type { FdbInfo, PortInfo, SwitchEnd, SwitchStats } from "./api.ts";
import type { CaptureBatch, CaptureEnd } from "./capture.ts";
import type { ConfigParts } from "./config-show.ts";
import type { PolicyOperations } from "./policy/policy-api.ts";
import type { PolicyWord } from "./policy/policy-words.ts";
import type { MeterInfo, RuleInfo, RuleTest, TraceInfo } from "./rules/rules-api.ts";

/** Raised when a client has to know of a change. */
export const PROTOCOL_VERSION = 1;

export interface Request {
  id: number;
  op: string;
  args: Record<string, unknown>;
  /** Not the last part. */
  more?: boolean;
}

export interface ReplyError {
  code: ErrorCode;
  message: string;
  next?: string;
}

export type Reply =
  | { id: number; ok: true; more?: boolean; result: Record<string, unknown> }
  | { id: number; ok: false; error: ReplyError };

/** The control socket's own counters. */
export interface ControlStats {
  /** Open now, the one that asks included. */
  connections: number;
  accepted: number;
  requests: number;
  /** By name: frames that could not be read, requests refused, connections dropped. */
  errors: Record<string, number>;
}

/** Where a port's device shall go: `netns`, `ifname` and `ip` are for a namespace only. */
export interface AttachArgs {
  name: string;
  to: "netns" | "vm";
  netns?: string;
  ifname?: string;
  ip?: string[];
}

/** A frame that came in on `port`, for a look at what rules make of it. */
export interface FrameArgs {
  port: string;
  /** Its beginning, or all of it. */
  frame: Uint8Array;
  /** Of the whole frame, where that is longer. */
  length?: number;
}

/** A meter as TOML and JSON have it. */
export interface MeterArgs {
  name: string;
  /** `100 Mbit/s`, `1000 frames/s`. */
  rate: string;
  /** `1 Mbit`, `64 frames`; absent: the switch chooses. */
  burst?: string;
}

/** What to capture: of `port`, in a `direction` (both); of `rule`, by its id; or all drops. */
export interface CaptureArgs {
  of: "port" | "drops" | "rule";
  port?: string;
  direction?: "in" | "out" | "both";
  rule?: number;
  /** Bytes of each frame that are kept; absent: all. */
  snap?: number;
  /** A rule's match. */
  filter?: string;
}

/** Each operation's arguments and result. */
export interface Operations extends PolicyOperations {
  version: { args: object; result: { version: string; protocol: number; pid: number } };
  "port.list": { args: object; result: { ports: PortInfo[] } };
  "port.show": { args: { name: string }; result: { port: PortInfo } };
  "port.add": {
    args: { name: string; uri: string; link?: "up" | "down"; macLimit?: number; policy?: PolicyWord[] };
    result: { port: PortInfo };
  };
  "port.del": { args: { name: string }; result: object };
  /** An empty value takes what was said of a key back, a limit of null the port's own limit, an mtu of null what was said of it. */
  "port.set": {
    args: { name: string; link?: "up" | "down"; mtu?: number | null; macLimit?: number | null; policy?: PolicyWord[] };
    result: { port: PortInfo };
  };
  "port.attach": { args: AttachArgs; result: Attached };
  "port.detach": { args: { name: string }; result: { port: PortInfo } };
  "fdb.show": { args: { port?: string; vlan?: number }; result: FdbInfo };
  "fdb.add": { args: { mac: string; port: string; vlan?: number }; result: object };
  "fdb.del": { args: { mac: string; vlan?: number }; result: object };
  "fdb.flush": { args: { port?: string; vlan?: number }; result: { flushed: number } };
  "rule.list": { args: object; result: { rules: RuleInfo[] } };
  /** `rule` is a text in all of these, with its id where it shall have that one. */
  "rule.add": { args: { rule: string }; result: { rule: RuleInfo } };
  "rule.del": { args: { ids: number[] }; result: object };
  /** All rules at once, and these meters beside those that there are. */
  "rule.replace": {
    args: { rules: string[]; meters?: MeterArgs[] };
    result: { rules: { id: number; text: string }[]; added: number; removed: number };
  };
  "rule.test": { args: { rule: string } & FrameArgs; result: RuleTest };
  trace: { args: FrameArgs; result: { steps: TraceInfo[] } };
  "meter.list": { args: object; result: { meters: MeterInfo[] } };
  "meter.set": { args: MeterArgs; result: { meter: MeterInfo } };
  "meter.del": { args: { name: string }; result: object };
  "capture.open": { args: CaptureArgs; result: { capture: number } };
  /** `records` are pieces of one run of bytes (capture-record.ts). */
  "capture.read": { args: { capture: number }; result: Omit<CaptureBatch, "records"> & { records: Uint8Array[] } };
  "capture.close": { args: { capture: number }; result: CaptureEnd };
  stats: { args: object; result: SwitchStats & { control: ControlStats } };
  "config.show": { args: object; result: ConfigParts };
  /** Ends the switch; with `remove`, also what containers and VMs hold on to. Answered at the end, then it hangs up. */
  shutdown: { args: { remove: boolean }; result: SwitchEnd };
}

export type Operation = keyof Operations;
