// Random conversations between a kernel that is played here and a VDUSE session: drivers that come and go, memory that
// changes, rings that cannot be, workers that take their time, messages of all kinds. What must hold for each of them:
//
//   every request is answered once, in its order          no answer that gives memory back while a lane is open
//   lanes open and close in turn                          after the end nothing is held: lanes, mappings, descriptors
//
// The same conversations have to find mistakes that are planted in a copy of the source.

import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { VduseRequest } from "../../../src/ports/vduse/message.ts";
import { EPERM, SysError } from "../../../src/sys/errno.ts";
import { closeFd } from "../../../src/sys/fd.ts";
import { PAGE_SIZE } from "../../../src/sys/memory.ts";
import { type Mistake, plant, uproot } from "../../fuzz/mutant.ts";
import { fuzzSeed, Random } from "../../fuzz/random.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { sized } from "../../support/scale.ts";
import { MEMORY_SIZE, memoryFile, type SessionClass, SessionRig } from "./rig.ts";

const LIMIT_MS = 3_600_000;
const CONVERSATIONS = sized(150, 20_000);
const STEPS = 30;
const CANARY_CONVERSATIONS = 150;
/** The same conversations every time: whether a mistake is found does not depend on luck. */
const CANARY_SEED = 1;

const undo: (() => void)[] = [];
afterEach(() => {
  for (const action of undo.splice(0).reverse()) action();
});

type Asked = { id: number; takesMemory: boolean };

class Conversation {
  private readonly rig: SessionRig;
  private readonly asked: Asked[] = [];
  private release: () => void = () => {};
  /** Events that `check` has seen. */
  private seen = 0;
  private open = false;
  private broken = false;

  constructor(
    private readonly random: Random,
    private readonly file: number,
    session: SessionClass,
  ) {
    this.rig = new SessionRig({ session }).withDriver(file);
  }

  private ask(request: Omit<VduseRequest, "id"> & Record<string, unknown>, takesMemory = false): void {
    this.asked.push({ id: this.rig.ask(request), takesMemory });
  }

  private memory(): void {
    const { random, rig, file } = this;
    rig.device.regions = Array.from({ length: random.below(4) }, (_, n) => ({
      start: 0x10000 + n * 2 * MEMORY_SIZE,
      size: random.pick([MEMORY_SIZE, MEMORY_SIZE, PAGE_SIZE, MEMORY_SIZE * 2]),
      readOnly: random.once(8),
      file,
    }));
  }

  /** What may happen next, each as likely as the others. */
  private readonly steps: readonly (() => void)[] = [
    () => this.rig.status(15),
    () => this.rig.status(15),
    () => this.rig.status(this.random.pick([1, 3, 11, 15])),
    () => this.ask({ type: "set-status", status: 0 }, true),
    () => {
      this.memory();
      this.ask({ type: "update-iotlb" });
    },
    () => this.ask({ type: "get-vq-state", queue: this.random.below(4) }),
    () => this.ask({ type: "set-vq-ready", queue: this.random.below(2), ready: this.random.once(2) }),
    () => this.ask({ type: "unknown", number: 6 }),
    () => this.ask({ type: "set-vq-group-asid", group: this.random.below(2), asid: this.random.below(2) }),
    () => this.holdWorkers(this.random.once(2)),
    () => {
      this.rig.host.failingPair = this.random.once(3) ? 0 : -1;
    },
    () => {
      if (this.random.once(4)) this.rig.device.failure = new SysError("ioctl", EPERM, "VDUSE_IOTLB_GET_FD2");
    },
    () => {
      if (this.random.once(3)) this.ask({ type: "suspend" }, true);
    },
    () => {
      if (!this.random.once(15)) return;
      this.broken = true;
      this.rig.breaks();
    },
    () => {
      for (const kicked of [...this.rig.host.watched.values()]) kicked();
    },
  ];

  /** Workers take their time, or come back. */
  private holdWorkers(on: boolean): void {
    this.release();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.release = resolve;
    this.rig.host.busy = on ? promise : undefined;
  }

  /** Looks at what happened since the last look. Throws what is wrong. */
  private check(): void {
    const { events } = this.rig;
    for (; this.seen < events.length; this.seen++) {
      const event = events[this.seen];
      if (event === "open 0" || event === "close 0") {
        const opens = event === "open 0";
        // A lane that could not be opened is closed all the same.
        if (opens && this.open) throw new Error("a lane was opened twice");
        this.open = opens;
      }
      const [word, id] = event.split(" ");
      if (word !== "answer") continue;
      const next = this.asked.shift();
      if (next?.id !== Number(id)) throw new Error(`${event}, but ${next?.id} was next`);
      if (next.takesMemory && this.open) throw new Error(`${event} while a lane was open`);
    }
  }

  async run(): Promise<void> {
    const { random, rig } = this;
    for (let n = 0; n < STEPS; n++) {
      random.pick(this.steps)();
      for (let turns = random.below(4); turns > 0; turns--) await Promise.resolve();
      if (random.once(4)) await Bun.sleep(0);
      this.check();
    }
    this.release();
    rig.host.busy = undefined;
    rig.device.live = true;
    await rig.session.end();
    this.check();
    if (this.asked.length > 0) throw new Error(`${this.asked.length} requests were not answered`);
    if (this.open || rig.session.serving) throw new Error("a lane is open after the end");
    if (rig.session.broken !== this.broken) throw new Error("broken?");
  }
}

/** Runs conversations; returns what was wrong, or null. */
async function converse(seed: number, count: number, session: SessionClass): Promise<string | null> {
  const file = memoryFile(MEMORY_SIZE);
  undo.push(() => closeFd(file));
  const held = holdings();
  for (let n = 0; n < count; n++) {
    try {
      const ended = new Conversation(new Random(seed + n), file, session).run();
      await Promise.race([ended, Bun.sleep(5_000).then(() => Promise.reject(new Error("it did not end")))]);
    } catch (error) {
      return `seed ${seed + n}: ${error}`;
    }
  }
  const left = heldDifference(held, holdings());
  return left.length === 0 ? null : `held: ${left.join(", ")}`;
}

test(
  "no conversation confuses a session",
  async () => {
    const { Session } = await import("../../../src/ports/vduse/session.ts");
    expect(await converse(fuzzSeed("VDUSE session"), CONVERSATIONS, Session)).toBeNull();
  },
  LIMIT_MS,
);

const FOLDER = "src/ports/vduse";
const mistakes: Mistake[] = [
  {
    name: "a reset is answered before the lanes are closed",
    file: `${FOLDER}/session.ts`,
    from: "if (request.status === 0) await this.stop();",
    to: "if (request.status === 0) void this.stop();",
  },
  {
    name: "requests are handled side by side",
    file: `${FOLDER}/session.ts`,
    from: "const result = this.work.then(step);",
    to: "const result = step();",
  },
  {
    name: "a request that cannot be handled is not answered",
    file: `${FOLDER}/session.ts`,
    from: "if (!answered) this.answer(request.id, false);",
    to: "",
  },
  {
    name: "memory is kept",
    file: `${FOLDER}/iotlb.ts`,
    from: "for (const { base, mapped } of this.mappings) unmap(base, mapped);",
    to: "",
  },
  { name: "a region's file is kept", file: `${FOLDER}/iotlb.ts`, from: "closeFd(entry.fd);", to: "" },
  {
    name: "kicks are kept",
    file: `${FOLDER}/lanes.ts`,
    from: "for (const kick of this.kicks.splice(0)) closeFd(kick);",
    to: "this.kicks.length = 0;",
  },
  {
    name: "a lane is opened twice",
    file: `${FOLDER}/session.ts`,
    from: "if (this.running || this.broken || this.ended) return;",
    to: "if (this.broken || this.ended) return;",
  },
];

describe("the conversations bite", () => {
  test.each(mistakes.map((mistake) => [mistake.name, mistake] as const))(
    "%s",
    async (_name, mistake) => {
      const root = plant(mistake);
      undo.push(() => uproot(root));
      const { Session } = await import(join(root, FOLDER, "session.ts"));
      expect(await converse(CANARY_SEED, CANARY_CONVERSATIONS, Session)).toMatch(/^seed \d+: |^held: /);
    },
    60_000,
  );
});
