// What actions do to a frame, the obvious way: on bytes, one copy after the other. rewrite.ts is the same for workers; they share
// no code, and tests hold them against each other. Control thread; pure.

import { fieldsOf } from "./interpret-fields.ts";
import { HEADER_BYTES } from "./key.ts";
import type { Action } from "./rule.ts";

const TPIDS = [0x8100, 0x88a8];

export class RewrittenFrame {
  bytes: Uint8Array;
  /** Of those, how many the switch has copied and may change. */
  private header: number;
  private readonly ip4: boolean;
  private readonly ip6: boolean;
  /** What is behind the IP header's first byte stays as long as it is. */
  private readonly fromIp: number;

  constructor(received: Uint8Array, port: number) {
    const fields = fieldsOf(received, port);
    const tags = Number(fields.get("vlan")) + Number(fields.get("inner"));
    this.bytes = received.slice();
    this.header = Math.min(received.length, HEADER_BYTES);
    this.ip4 = fields.get("ip4") === 1n;
    this.ip6 = fields.get("ip6") === 1n;
    this.fromIp = received.length - 14 - 4 * tags;
  }

  /** Actions that change nothing in the frame change nothing here. */
  apply(action: Action): void {
    if (action.do === "set-vlan") this.setVlan(action.id, action.pcp);
    else if (action.do === "strip-vlan") this.stripVlan();
    else if (action.do === "set-dscp") this.setDscp(action.dscp);
    else if (action.do === "set-mac") {
      if (action.dst !== undefined) this.bytes.set(Buffer.from(action.dst, "hex"), 0);
      if (action.src !== undefined) this.bytes.set(Buffer.from(action.src, "hex"), 6);
    }
  }

  private at16(offset: number): number {
    return this.bytes[offset] * 256 + this.bytes[offset + 1];
  }

  private set16(offset: number, value: number): void {
    this.bytes.set([value >> 8, value & 0xff], offset);
  }

  private get isTagged(): boolean {
    return this.header >= 18 && TPIDS.includes(this.at16(12));
  }

  private setVlan(id: number | undefined, pcp: number | undefined): void {
    if (!this.isTagged) {
      this.bytes = Uint8Array.from([...this.bytes.subarray(0, 12), 0x81, 0, 0, 0, ...this.bytes.subarray(12)]);
      this.header += 4;
    }
    const before = this.at16(14);
    const dei = before & 0x1000;
    this.set16(14, ((pcp ?? before >> 13) << 13) | dei | (id ?? before & 0xfff));
  }

  private stripVlan(): void {
    if (!this.isTagged) return;
    this.bytes = Uint8Array.from([...this.bytes.subarray(0, 12), ...this.bytes.subarray(16)]);
    this.header -= 4;
  }

  private setDscp(dscp: number): void {
    const l3 = this.bytes.length - this.fromIp;
    const before = this.at16(l3);
    if (this.ip6) this.set16(l3, (before & 0xf03f) + dscp * 64);
    if (!this.ip4) return;
    const after = (before & 0xff03) + dscp * 4;
    this.set16(l3, after);
    // RFC 1624: a header whose checksum was right has a right one again, another one's stays as wrong as it was.
    const sum = 0xffff - this.at16(l3 + 10) + (0xffff - before) + after;
    this.set16(l3 + 10, 0xffff - (((sum - 1) % 0xffff) + 1));
  }
}
