// What workers wrote for one capture, with the names of ports as they were: records have indices, and the port that takes an index after
// another one is not where those before came from.
//
//   ring   | records | b goes (passed: index 1, b) | records | read: those of index 1 before are b's, under a number of their own
//
// Nothing is copied when a port goes, so nobody who does not read costs memory. Control thread.

import { EVENT_TAPPED, type TapMemory } from "../dataplane/bridge/tap-memory.ts";
import { type EventRing, readEvents, writtenEvents } from "../dataplane/rules/event-ring.ts";
import { MAX_PORTS } from "../dataplane/shared.ts";
import type { CapturePort } from "./capture.ts";

/** A port that has gone, and how far each ring was then. */
interface PassedPort {
  index: number;
  port: CapturePort;
  written: readonly number[];
}

export class CaptureReader {
  private passed: PassedPort[] = [];
  /** Of ports that have gone: beyond all indices. */
  private number = MAX_PORTS;

  constructor(private readonly memory: TapMemory) {}

  /** No worker has frames of the port any more, and no other one has its index. */
  portGoes(name: string, index: number): void {
    const written = this.memory.rings.map(writtenEvents);
    const known = this.passed.some((it) => it.index === index && it.written.every((at, r) => at === written[r]));
    // Nothing came since.
    if (known) return;
    this.passed.push({ index, port: { index: this.number++, name }, written });
  }

  /** What came since the call before; `names` by index, of the ports that there are. */
  read(names: ReadonlyMap<number, string>): { records: Uint8Array; ports: CapturePort[] } {
    const records: Uint8Array[] = [];
    const ports = new Map<number, CapturePort>();
    this.memory.rings.forEach((ring, r) => {
      for (let k = 0; k <= this.passed.length; k++) {
        const later = this.passed.slice(k);
        this.take(ring, later[0]?.written[r], records, (index) => {
          const gone = later.find((it) => it.index === index)?.port;
          const port = gone ?? { index, name: names.get(index) ?? `port ${index}` };
          ports.set(port.index, port);
          return port.index;
        });
      }
    });
    this.passed = [];
    return { records: Buffer.concat(records), ports: [...ports.values()] };
  }

  private take(
    ring: EventRing,
    until: number | undefined,
    records: Uint8Array[],
    numberOf: (index: number) => number,
  ): void {
    const take = (kind: number, at: number, size: number) => {
      if (kind !== EVENT_TAPPED) return;
      const record = ring.bytes.slice(at, at + size);
      const words = new Uint32Array(record.buffer, 0, 2);
      words[1] = numberOf(words[1]);
      records.push(record);
    };
    readEvents(ring, take, until);
  }
}
