// Numbered frames from one driver to another, with a look at what came: a gap is an error, a repetition is counted.
// Main thread of a test process.

import { type Mac, mac, numbered, readNumbered } from "./frames.ts";
import { until } from "./until.ts";
import type { VdpaGuest } from "./vhost-vdpa-guest.ts";

export interface StreamOptions {
  /** Numbers that become addresses (frames.ts, `mac`). */
  source: number;
  target: number;
  /** Frames sent and not yet received: no more than the receiver has buffers. */
  window?: number;
}

export class VdpaStream {
  sent = 0;
  received = 0;
  /** Frames that came a second time. */
  repeated = 0;
  /** Gaps are counted instead: somebody else may take the receiver's buffers. */
  lossy = false;
  lost = 0;
  private readonly source: Mac;
  private readonly target: Mac;
  private readonly sender: number;
  private readonly window: number;

  constructor(
    readonly from: VdpaGuest,
    readonly to: VdpaGuest,
    { source, target, window = 48 }: StreamOptions,
  ) {
    this.source = mac(source);
    this.target = mac(target);
    this.sender = source;
    this.window = window;
  }

  /** Sends what may be in flight. */
  fill(): void {
    while (this.sent - this.received < this.window) {
      if (!this.from.send(numbered(this.target, this.source, this.sender, this.sent))) return;
      this.sent++;
    }
  }

  /** Takes what arrived; throws for a gap. */
  drain(): void {
    for (let bytes = this.to.poll(); bytes !== null; bytes = this.to.poll()) {
      const it = readNumbered(bytes);
      if (it?.sender !== this.sender) continue;
      if (it.number > this.received && this.lossy) this.skip(it.number);
      if (it.number > this.received) throw new Error(`frame ${it.number} came, ${this.received} was expected`);
      if (it.number < this.received) this.repeated++;
      else this.received++;
    }
  }

  /** Counts what lies before frame `number` as lost. */
  private skip(number: number): void {
    this.lost += number - this.received;
    this.received = number;
  }

  /** Frames that came, each counted once: what `pump` waits for may all be lost, where that is allowed. */
  get arrived(): number {
    return this.received - this.lost;
  }

  /** Frames whose buffers the switch has given back. */
  get acknowledged(): number {
    return this.sent - this.from.inFlight;
  }

  /** Keeps frames flowing until `frames` more have arrived. */
  async pump(frames: number): Promise<void> {
    const target = this.received + frames;
    await this.until(`frame ${target}`, () => {
      this.fill();
      this.drain();
      // The switch delivers before it gives a buffer back: with all of them back, what has not arrived never will.
      if (this.lossy && this.from.inFlight === 0) {
        this.drain();
        if (this.received < this.sent) this.skip(this.sent);
      }
      return this.received >= target;
    });
  }

  /** Waits for all that was sent. */
  async finish(): Promise<void> {
    await this.until("the last frames", () => {
      this.drain();
      return this.received === this.sent;
    });
  }

  private async until(what: string, probe: () => boolean): Promise<void> {
    let wrong: unknown;
    const context = () => `${this.sent} sent, ${this.received} received, ${this.repeated} twice`;
    await until(
      what,
      () => {
        try {
          return probe();
        } catch (error) {
          // A gap does not close by waiting.
          wrong = error;
          return true;
        }
      },
      { everyMs: 0, context },
    );
    if (wrong !== undefined) throw wrong;
  }
}
