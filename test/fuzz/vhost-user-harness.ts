// Plays scripts (vhost-user-script.ts) to one port of a switch in this process, and then asks what must still be true:
// the port is free for the next front end, two front ends on other ports exchange frames, and the process holds the
// descriptors and mappings that it held before.
//
// The switch comes from a root folder, so that a copy of the source with a planted mistake (mutant.ts) can be tried too.
// A script that ends the whole process is found in the file named by LAST_SCRIPT.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SwitchApi, SwitchLog } from "../../src/control/api.ts";
import { closeFd, eventFd, signal } from "../../src/sys/fd.ts";
import { libc } from "../../src/sys/libc.ts";
import { memfd } from "../../src/sys/memory.ts";
import { frame, type Mac, mac } from "../support/frames.ts";
import { FrontEnd } from "../support/frontend.ts";
import { message } from "../support/frontend-wire.ts";
import { type Holdings, heldDifference, holdings } from "../support/leaks.ts";
import { until } from "../support/until.ts";
import type { Random } from "./random.ts";
import { DEVICE, type FdKind, makeScript, type Step } from "./vhost-user-script.ts";

export const LAST_SCRIPT = join(tmpdir(), "ringyard-fuzz-vhost-user.case");
/** Scripts between two looks at what the process holds. */
const ROUNDS_PER_COUNT = 10;
/** How long anything may take; a planted mistake that makes it take for ever need not wait as long. */
const PATIENCE_MS = 5_000;

/** After half a message no reply comes, and the script goes on with a new connection. */
const REPLY_MS = 100;

const ONE: Mac = mac(0xd1);
const TWO: Mac = mac(0xd2);
const HOSTILE: Mac = mac(0xd3);

export class VhostUserHarness {
  private readonly scratch = mkdtempSync(join(tmpdir(), "ringyard-fuzz-"));
  private readonly fds: Record<FdKind, number>;
  private readonly honest: FrontEnd[] = [];
  private api!: SwitchApi;
  private before!: Holdings;
  private frames = 0;

  private constructor(private readonly patienceMs: number) {
    this.fds = {
      event: eventFd(),
      memory: memfd("ringyard-fuzz", 1 << 21),
      ram: -1,
      readonly: openSync(process.execPath, "r"),
      socket: libc.socket(1, 1, 0),
      epoll: libc.epoll_create1(0),
      directory: openSync("/tmp", "r"),
    };
  }

  /** A switch from the source at `root`, with two front ends that are to notice nothing. */
  static async of(root: string, patienceMs = PATIENCE_MS): Promise<VhostUserHarness> {
    const harness = new VhostUserHarness(patienceMs);
    try {
      await harness.open(root);
      return harness;
    } catch (error) {
      await harness.close();
      throw error;
    }
  }

  private async open(root: string): Promise<void> {
    const { createSwitch } = (await import(
      join(root, "src/control/switch.ts")
    )) as typeof import("../../src/control/switch.ts");
    const { parsePort } = (await import(join(root, "src/control/uri.ts"))) as typeof import("../../src/control/uri.ts");
    const { kinds } = (await import(
      join(root, "src/control/wiring.ts")
    )) as typeof import("../../src/control/wiring.ts");
    const log: SwitchLog = { info() {}, warn() {}, error() {} };
    this.api = await createSwitch({}, log);
    for (const name of ["fuzzed", "one", "two"]) {
      await this.api.addPort(parsePort(name, `vhost-user:${this.path(name)}?queues=2`, kinds));
    }
    for (const name of ["one", "two"]) {
      const vm = new FrontEnd(this.path(name));
      await vm.connect();
      await vm.start();
      this.honest.push(vm);
    }
    await this.alive();
    await this.play([{ do: "start" }, { do: "frames", count: 1 }]);
    this.before = holdings();
  }

  private path(name: string): string {
    return join(this.scratch, `${name}.sock`);
  }

  /** Plays `rounds` scripts; throws with the one that was found wanting, as text. */
  async run(random: Random, rounds: number): Promise<void> {
    const template = new FrontEnd("", DEVICE);
    const recent: Step[][] = [];
    try {
      for (let round = 0; round < rounds; round++) {
        const script = makeScript(random, template);
        recent.push(script);
        const count = round % ROUNDS_PER_COUNT === ROUNDS_PER_COUNT - 1;
        // A template holds descriptors too, so it is counted on both sides.
        const problem = await this.problem(script, count ? template : undefined);
        if (problem !== null) {
          const text = JSON.stringify(recent);
          throw new Error(
            `seed ${random.seed}, round ${round}: ${problem}\nkeep as crashers/vhost-user/NAME.case: ${text}`,
          );
        }
        if (count) recent.length = 0;
      }
    } finally {
      template.close();
    }
  }

  /** Plays scripts that were kept, and says what is wrong afterwards, or null. */
  async replay(scripts: readonly Step[][]): Promise<string | null> {
    for (const script of scripts) {
      const problem = await this.problem(script, undefined);
      if (problem !== null) return problem;
    }
    return this.leak();
  }

  private async problem(script: Step[], template: FrontEnd | undefined): Promise<string | null> {
    writeFileSync(LAST_SCRIPT, JSON.stringify([script]));
    try {
      await this.play(script);
      await this.alive();
    } catch (error) {
      return (error as Error).message.split("\n")[0];
    }
    return template === undefined ? null : this.leak(template);
  }

  /**
   * What the process holds more or less than at the start; `others` are front ends that did not exist then. The last
   * connection may still be on its way through the listener, so it is given some time.
   */
  private async leak(...others: FrontEnd[]): Promise<string | null> {
    const deadline = performance.now() + this.patienceMs / 5;
    for (;;) {
      const found = this.held(others);
      if (found === null || performance.now() > deadline) return found;
      await Bun.sleep(1);
    }
  }

  private held(others: readonly FrontEnd[]): string | null {
    const difference = heldDifference(this.before, holdings()).filter((line) => {
      const [, name, from, to] = /^\w+: (.*): (\d+) -> (\d+)$/.exec(line) ?? [];
      const owned = name?.includes("front-end") ? 2 : name === "anon_inode:[eventfd]" ? 8 : 0;
      return Number(to) - Number(from) !== others.length * owned;
    });
    return difference.length === 0 ? null : `leaked ${difference.join(", ")}`;
  }

  /** Two front ends exchange a frame each way, whatever else comes along. */
  private async alive(): Promise<void> {
    const [one, two] = this.honest;
    for (const [from, to, source, target] of [
      [one, two, ONE, TWO],
      [two, one, TWO, ONE],
    ] as const) {
      const sent = frame(target, source, 60 + (this.frames++ % 1000));
      from.send(sent);
      await until(
        "a frame between two other ports",
        () => {
          for (let got = to.poll(); got !== null; got = to.poll()) if (Buffer.compare(got, sent) === 0) return true;
          return false;
        },
        { everyMs: 0, timeoutMs: this.patienceMs },
      );
    }
  }

  private async play(script: readonly Step[]): Promise<void> {
    const vm = new FrontEnd(this.path("fuzzed"), DEVICE);
    try {
      await vm.connect();
      vm.wire.patienceMs = REPLY_MS;
      for (const step of script) await this.step(vm, step);
    } finally {
      vm.close();
    }
    const free = () => this.api.port("fuzzed").details.connected === false;
    await until("the port to be free again", free, { everyMs: 0, timeoutMs: this.patienceMs });
  }

  private async step(vm: FrontEnd, step: Step): Promise<void> {
    switch (step.do) {
      case "start":
        vm.resetRings();
        await vm.start().catch(() => this.again(vm));
        break;
      case "settle":
        await vm.settled().catch(() => this.again(vm));
        break;
      case "hangup":
        await this.again(vm);
        break;
      case "frames":
        for (let n = 0; n < step.count; n++) this.sendBlindly(vm, n);
        break;
      case "scribble": {
        const it = vm.rings[step.ring];
        vm.ram.view(it[step.part] + step.at, 16).set(Buffer.from(step.bytes, "hex"));
        break;
      }
      case "send":
        if (!(await this.sendMessage(vm, step))) await this.again(vm);
    }
  }

  /** Sends without a look at what is free: the ring may have been scribbled over. */
  private sendBlindly(vm: FrontEnd, n: number): void {
    const { ring, buffers, kickFd } = vm.transmitRing(n % 2);
    const slot = n % vm.size;
    const address = buffers + slot * 2048;
    const bytes = frame(n % 3 === 0 ? ONE : TWO, HOSTILE, 60 + n);
    ring.writeDescriptor(slot, address, 12 + bytes.length, 0, 0);
    vm.ram.view(address, 12).fill(0);
    vm.ram.view(address + 12, bytes.length).set(bytes);
    ring.push(slot);
    ring.publish();
    signal(kickFd);
  }

  private async sendMessage(vm: FrontEnd, step: Extract<Step, { do: "send" }>): Promise<boolean> {
    const { request, flags, payload, size, cut } = step;
    const bytes = message(request, Buffer.from(payload, "hex"), { flags, size });
    let region = 0;
    const fds = step.fds.map((kind) => (kind === "ram" ? vm.ram.regions[region++ % 2].fd : this.fds[kind]));
    if (cut === undefined || cut >= bytes.length) return vm.wire.raw(bytes, fds);
    if (!vm.wire.raw(bytes.subarray(0, cut), fds)) return false;
    await Bun.sleep(0);
    return vm.wire.raw(bytes.subarray(cut));
  }

  private async again(vm: FrontEnd): Promise<void> {
    vm.disconnect();
    await vm.connect();
    vm.wire.patienceMs = REPLY_MS;
  }

  async close(): Promise<void> {
    for (const vm of this.honest.splice(0)) vm.close();
    await this.api.close();
    const { readonly, directory, ram: _, ...own } = this.fds;
    for (const fd of [readonly, directory]) closeSync(fd);
    for (const fd of Object.values(own)) closeFd(fd);
    rmSync(this.scratch, { recursive: true });
    rmSync(LAST_SCRIPT, { force: true });
  }
}
