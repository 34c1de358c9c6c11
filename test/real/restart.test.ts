// What the switch process owes those who rely on it when it is killed, ended, started again or reconfigured. The guests
// are front ends in this process: their rings survive the switch, as a VM's do, and numbered frames show what was lost.
//
//   acknowledged   the switch has given a frame's buffer back (used.idx): then it must have arrived, once
//   in the ring    not yet: it may be taken again by whoever serves the ring next

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PortInfo } from "../../src/control/api.ts";
import { useCleanup } from "../support/cleanup.ts";
import { BROADCAST, frame, mac, numbered, readNumbered } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { run } from "../support/process.ts";
import { type SwitchProcess, useSwitch } from "../support/switch.ts";
import { linkNames, requireTap } from "../support/tap.ts";
import { PATIENCE, until } from "../support/until.ts";

const LIMIT_MS = 60_000 * PATIENCE;
const RING_LENGTH = 256;
/** Sent and not yet received: always room in the receiver's ring. */
const IN_FLIGHT = 192;
/** A burst: as many may be delivered and not yet acknowledged when the switch is killed. */
const BURST = 64;

const scratch = mkdtempSync(join(tmpdir(), "ringyard-restart-"));
useCleanup()(() => rmSync(scratch, { recursive: true, force: true }));
const startSwitch = useSwitch();
const frontEnds: FrontEnd[] = [];
let serial = 0;

afterEach(() => {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
});

function guest(path: string): FrontEnd {
  const made = new FrontEnd(path, { size: RING_LENGTH });
  frontEnds.push(made);
  return made;
}

function socketPath(name: string): string {
  return join(scratch, `${name}-${serial++}.sock`);
}

/** Connects front ends, in this order, again where they were connected; their rings stay as they are. */
async function attach(...guests: FrontEnd[]): Promise<void> {
  for (const it of guests) {
    it.disconnect();
    await it.connect();
    await it.start();
  }
}

/** Numbered frames from one guest to another. */
class Stream {
  sent = 0;
  received = 0;
  /** Frames that came a second time. */
  repeated = 0;

  constructor(
    readonly from: FrontEnd,
    readonly to: FrontEnd,
    readonly source: number,
    readonly target: number,
  ) {}

  /** Sends what may be in flight; false where the ring is full before that. */
  fill(): void {
    while (this.sent - this.received < IN_FLIGHT) {
      if (!this.from.send(numbered(mac(this.target), mac(this.source), this.source, this.sent))) return;
      this.sent++;
    }
  }

  /** Takes what arrived; throws for a gap. */
  drain(): void {
    for (let bytes = this.to.poll(); bytes !== null; bytes = this.to.poll()) {
      const it = readNumbered(bytes);
      if (it?.sender !== this.source) continue;
      if (it.number > this.received) throw new Error(`frame ${it.number} came, ${this.received} was expected`);
      if (it.number < this.received) this.repeated++;
      else this.received++;
    }
  }

  /** Frames that the switch has given back. */
  get acknowledged(): number {
    const { ring } = this.from.transmitRing();
    while (ring.takeUsed() >= 0) {
      // Counted by what is free afterwards.
    }
    return this.sent - (RING_LENGTH - ring.available);
  }

  async pump(frames: number): Promise<void> {
    const target = this.received + frames;
    await until(
      `frame ${target}`,
      () => {
        this.fill();
        this.drain();
        return this.received >= target;
      },
      { everyMs: 0, context: () => `${this.sent} sent, ${this.received} received` },
    );
  }

  /** Waits for all that was sent. */
  async finish(): Promise<void> {
    await until(
      "the last frames",
      () => {
        this.drain();
        return this.received === this.sent;
      },
      { everyMs: 0, context: () => `${this.sent} sent, ${this.received} received` },
    );
  }
}

describe("SIGKILL", () => {
  test(
    "and a new start: the sockets it left are taken over, and no acknowledged frame was lost",
    async () => {
      const [pathA, pathB] = [socketPath("a"), socketPath("b")];
      const ringyard = await startSwitch({ a: `vhost-user:${pathA}`, b: `vhost-user:${pathB}` });
      const [a, b] = [guest(pathA), guest(pathB)];
      await attach(b, a);
      const stream = new Stream(a, b, 1, 2);
      for (let life = 0; life < 4; life++) {
        const { repeated } = stream;
        await stream.pump(2_000);
        stream.fill();
        await ringyard.kill();
        for (const path of [pathA, pathB, ringyard.control]) expect(existsSync(path)).toBe(true);
        // The driver goes on: its ring fills.
        stream.drain();
        stream.fill();
        await ringyard.start();
        // The receiver first, or frames have nowhere to go.
        await attach(b, a);
        await stream.pump(2_000);
        expect(stream.repeated - repeated).toBeLessThanOrEqual(BURST);
      }
      await stream.finish();
      expect(await ringyard.stop()).toBe(0);
    },
    LIMIT_MS,
  );

  test("cannot be pretended: what a running switch serves is refused, by name", async () => {
    const path = socketPath("a");
    const ringyard = await startSwitch({ a: `vhost-user:${path}` });
    await expect(startSwitch({ a: `vhost-user:${path}` })).rejects.toThrow(/already served by another process/);
    await expect(startSwitch({}, "--control", ringyard.control)).rejects.toThrow(/control/);
    expect((await ringyard.port("a")).name).toBe("a");
  });
});

describe("SIGTERM", () => {
  test(
    "ends with 0, takes its sockets away, and what it acknowledged has arrived, in both directions",
    async () => {
      for (let round = 0; round < 3; round++) {
        const [pathA, pathB] = [socketPath("a"), socketPath("b")];
        const ringyard = await startSwitch({ a: `vhost-user:${pathA}`, b: `vhost-user:${pathB}` });
        const [a, b] = [guest(pathA), guest(pathB)];
        await attach(a, b);
        const streams = [new Stream(a, b, 1, 2), new Stream(b, a, 2, 1)];
        for (const stream of streams) await stream.pump(500);
        let code: number | undefined;
        const ended = ringyard.stop().then((exit) => {
          code = exit;
        });
        await until(
          "the end",
          () => {
            for (const stream of streams) {
              stream.fill();
              stream.drain();
            }
            return code !== undefined;
          },
          { everyMs: 0 },
        );
        await ended;
        expect(code).toBe(0);
        for (const stream of streams) {
          stream.drain();
          expect(stream.received).toBe(stream.acknowledged);
          expect(stream.repeated).toBe(0);
        }
        for (const path of [pathA, pathB, ringyard.control]) expect(existsSync(path)).toBe(false);
      }
    },
    LIMIT_MS,
  );

  test(
    "and a new start lose nothing and repeat nothing",
    async () => {
      const [pathA, pathB] = [socketPath("a"), socketPath("b")];
      const ringyard = await startSwitch({ a: `vhost-user:${pathA}`, b: `vhost-user:${pathB}` });
      const [a, b] = [guest(pathA), guest(pathB)];
      await attach(b, a);
      const stream = new Stream(a, b, 1, 2);
      for (let life = 0; life < 3; life++) {
        await stream.pump(2_000);
        stream.fill();
        expect(await ringyard.stop()).toBe(0);
        stream.drain();
        stream.fill();
        await ringyard.start();
        await attach(b, a);
      }
      await stream.pump(2_000);
      await stream.finish();
      expect(stream.repeated).toBe(0);
    },
    LIMIT_MS,
  );
});

describe("SIGHUP", () => {
  test(
    "changes what differs, and two ports that stay lose no frame",
    async () => {
      const [pathA, pathB, pathC] = [socketPath("a"), socketPath("b"), socketPath("c")];
      const file = join(scratch, "ringyard.toml");
      const write = (...lines: string[]) =>
        writeFileSync(
          file,
          ["[ports]", `a = "vhost-user:${pathA}"`, `b = "vhost-user:${pathB}"`, ...lines, ""].join("\n"),
        );
      write();
      const ringyard = await startSwitch({}, "-c", file);
      const [a, b] = [guest(pathA), guest(pathB)];
      await attach(a, b);
      // Known on both sides: what is flooded otherwise goes to the third port, too.
      b.send(frame(BROADCAST, mac(2)));
      const stream = new Stream(a, b, 1, 2);
      await stream.pump(100);

      /** Writes the third port's line, asks for the reload, and keeps frames flowing until `ports` says that it is done. */
      const reload = async (lines: string[], done: (ports: PortInfo[]) => boolean) => {
        write(...lines);
        process.kill(ringyard.pid, "SIGHUP");
        let over = false;
        const wait = until("the reload", async () => done(await ringyard.ctl<PortInfo[]>("port", "list")), {
          context: () => ringyard.output,
        }).finally(() => {
          over = true;
        });
        while (!over) await stream.pump(50);
        await wait;
        await stream.pump(500);
      };
      const third = (ports: PortInfo[]) => ports.find((port) => port.name === "c");
      await reload([`c = "vhost-user:${pathC}"`], (ports) => third(ports)?.kind === "vhost-user");
      expect(existsSync(pathC)).toBe(true);
      await reload([`c = "vhost-user:${pathC}?mtu=9000"`], (ports) => third(ports)?.mtu === 9000);
      await reload(['c = { uri = "null:", link = "down" }'], (ports) => third(ports)?.admin === "down");
      expect(existsSync(pathC)).toBe(false);
      await reload(['c = { uri = "null:", mac-limit = 7 }'], (ports) => third(ports)?.admin === "up");
      await reload([], (ports) => third(ports) === undefined);
      await reload(['c = "null:"', "[switch]", "ageing = 77"], (ports) => third(ports) !== undefined);
      expect(await ringyard.ctl("fdb", "show")).toMatchObject({ ageingS: 77 });

      // A mistake is said, and changes nothing.
      write('c = "nil:"');
      process.kill(ringyard.pid, "SIGHUP");
      await until("the complaint", () => ringyard.output.includes("nothing changed"));
      await stream.pump(100);
      expect(third(await ringyard.ctl<PortInfo[]>("port", "list"))?.kind).toBe("null");

      await stream.finish();
      expect(stream.repeated).toBe(0);
      for (const name of ["a", "b"]) {
        const { details, drops, errors } = await ringyard.port(name);
        expect({ connections: details.connections, drops, errors }).toEqual({ connections: 1, drops: {}, errors: {} });
      }
      expect(await ringyard.stop()).toBe(0);
    },
    LIMIT_MS,
  );
});

requireTap()("TAP devices", () => {
  const name = `ryr${process.pid}`;
  const useTap = () => startSwitch({ t: `tap:${name}` });
  /** However the switch ended, the next test begins without one. */
  afterEach(() => run(["ip", "link", "del", name], { allowFailure: true }));

  test("go with SIGTERM", async () => {
    const ringyard = await useTap();
    expect(linkNames()).toContain(name);
    expect(await ringyard.stop()).toBe(0);
    expect(linkNames()).not.toContain(name);
  });

  test("go with SIGKILL, too, and are there again after a start", async () => {
    const ringyard: SwitchProcess = await useTap();
    await ringyard.kill();
    await until("the kernel to take it away", () => !linkNames().includes(name));
    await ringyard.start();
    expect(linkNames()).toContain(name);
    expect(await ringyard.stop()).toBe(0);
  });
});
