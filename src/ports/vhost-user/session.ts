// One connection to a front end: its negotiation, memory, vrings, and the lanes they add up to. Messages are handled one
// after the other (handlers.ts); each that changes a ring rebuilds its lane, whose place in the ring survives in the
// shared state words. When the connection ends, the lanes are closed, and NICs have read the frames they were given, before the
// memory is unmapped. Control thread only.
//
//   connected -> negotiated -> lanes open (carrier up) -> ended: everything given back, the port waits for the next one

import { errorLine, RingyardError } from "../../core/errors.ts";
import {
  DELIVER_CALL,
  DELIVER_NEXT,
  DELIVER_STATUS,
  FETCH_AVAIL,
  FETCH_CALL,
  FETCH_STATUS,
  FETCH_USED,
  RING_STOPPED,
} from "../../mem/lane-state.ts";
import { closeFd, signal } from "../../sys/fd.ts";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../uapi/vhost_user.ts";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../uapi/virtio_net.ts";
import { type Features, hasFeature } from "../../virtio/features.ts";
import type { RingConfig } from "../../virtio/virtqueue-open.ts";
import type { PortHost } from "../port.ts";
import type { DeviceConfig } from "./device-config.ts";
import { handleMessage } from "./handlers.ts";
import { MemoryTable } from "./memory.ts";
import { MessageReader } from "./message.ts";
import { usedIndex, Vring } from "./vring.ts";

/** Messages handled before other work of the control thread gets its turn. */
const MESSAGES_PER_TURN = 64;

export class Session {
  features: Features = { lo: 0, hi: 0 };
  protocolFeatures = 0;
  status = 0;
  /** Whether this connection was told already that its driver is too old. */
  legacyReported = false;
  readonly memory = new MemoryTable();
  readonly vrings: Vring[];
  private readonly reader: MessageReader;
  private readonly token: number;
  private readonly openPairs = new Set<number>();
  private work: Promise<void> = Promise.resolve();
  private ended = false;

  /** Takes the connected socket over. `onEnd` is called once, after everything was given back. */
  constructor(
    readonly socket: number,
    readonly device: DeviceConfig,
    readonly host: PortHost,
    private readonly onEnd: () => void,
  ) {
    this.vrings = Array.from({ length: device.pairs * 2 }, () => new Vring());
    this.reader = new MessageReader(socket);
    this.token = host.reactor.watch(socket, () => this.enqueue(() => this.readable()));
  }

  /** Ends the connection and resolves when nothing of it is left. Idempotent. */
  close(): Promise<void> {
    return this.enqueue(() => this.end());
  }

  /** Handles what has arrived by now; the connection may have ended by that. */
  settle(): Promise<void> {
    return this.enqueue(() => this.readable());
  }

  private enqueue(step: () => Promise<void>): Promise<void> {
    this.work = this.work.then(step);
    return this.work;
  }

  private async readable(): Promise<void> {
    if (this.ended) return;
    try {
      for (let n = 0; n < MESSAGES_PER_TURN && !this.ended; n++) {
        const message = this.reader.next();
        if (message === "wait") return;
        if (message === "end") return await this.end();
        await handleMessage(this, message);
      }
    } catch (error) {
      const code = error instanceof RingyardError ? error.code.toLowerCase() : "system";
      this.host.countError(code);
      this.host.log.warn(`vhost-user: ${errorLine(error)}`, { socket: this.device.path });
      await this.end();
    }
  }

  private async end(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.host.reactor.unwatch(this.token);
    try {
      await this.closeLanes();
    } finally {
      await this.memory.unshare();
      for (const vring of this.vrings) vring.close();
      this.memory.clear();
      this.reader.close();
      closeFd(this.socket);
      this.onEnd();
    }
  }

  /** Back to the state before any ring was started (RESET_DEVICE, status 0); addresses and eventfds may stay. */
  async stopRings(): Promise<void> {
    for (const vring of this.vrings) {
      vring.started = vring.resumed = false;
      vring.enabled = undefined;
    }
    await this.closeLanes();
  }

  /** Closes all lanes; the rings stay as they are, to be opened again by `syncAll`. */
  async closeLanes(): Promise<void> {
    for (const pair of [...this.openPairs]) await this.closePair(pair);
  }

  async syncAll(): Promise<void> {
    for (let pair = 0; pair < this.device.pairs; pair++) await this.sync(pair);
  }

  /** Makes the lane of a queue pair what its two vrings now say. Throws RingyardError for rings that cannot be. */
  async sync(pair: number): Promise<void> {
    const deliver = this.vrings[pair * 2].config(this.memory);
    const fetch = this.vrings[pair * 2 + 1].config(this.memory);
    if ((deliver === undefined && fetch === undefined) || !this.knownHeader) return this.closePair(pair);
    const state = this.host.laneState(pair);
    const resumed: RingConfig[] = [];
    if (deliver !== undefined && this.resume(pair * 2, deliver.used, state, [DELIVER_NEXT])) {
      state[DELIVER_STATUS] = RING_STOPPED;
      resumed.push(deliver);
    }
    if (fetch !== undefined && this.resume(pair * 2 + 1, fetch.used, state, [FETCH_AVAIL, FETCH_USED])) {
      state[FETCH_STATUS] = RING_STOPPED;
      resumed.push(fetch);
    }
    this.openPairs.add(pair);
    // First: a worker fetches as soon as it has the lane, and frames of a port without carrier are dropped.
    this.host.setCarrier(true);
    await this.host.openLane(pair, {
      driver: "virtqueue",
      featuresLo: this.features.lo,
      featuresHi: this.features.hi,
      regions: this.memory.config,
      deliver: deliver ?? null,
      fetch: fetch ?? null,
    });
    // Whoever served the ring before may have ended between completing buffers and saying so.
    for (const { callFd } of resumed) if (callFd >= 0) signal(callFd);
  }

  /**
   * A ring is called through another eventfd from now on; when this resolves, no worker uses the old one. Not a rebuild of
   * the lane: QEMU changes the eventfd whenever its guest masks an interrupt, as often as the guest likes.
   */
  async callChanged(index: number): Promise<void> {
    const { callFd } = this.vrings[index];
    if (!this.openPairs.has(index >> 1)) return;
    this.host.laneState(index >> 1)[index % 2 === 0 ? DELIVER_CALL : FETCH_CALL] = callFd;
    await this.host.fence();
    // Buffers completed before now were announced elsewhere, or nowhere.
    if (callFd >= 0) signal(callFd);
  }

  /** The first time a ring starts, its place is used.idx: completion is in order, so nothing acknowledged is lost. */
  private resume(index: number, used: number, state: Int32Array, words: number[]): boolean {
    const vring = this.vrings[index];
    if (vring.resumed) return false;
    vring.resumed = true;
    const next = usedIndex(this.memory, used) ?? 0;
    for (const word of words) state[word] = next;
    return true;
  }

  private async closePair(pair: number): Promise<void> {
    if (!this.openPairs.delete(pair)) return;
    await this.host.closeLane(pair);
    if (this.openPairs.size === 0) this.host.setCarrier(false);
  }

  /** The header is 12 bytes with either feature, and 10 for a driver that has neither (virtio 1.2, 5.1.6.1). */
  get knownHeader(): boolean {
    return hasFeature(this.features, VIRTIO_F_VERSION_1) || hasFeature(this.features, VIRTIO_NET_F_MRG_RXBUF);
  }

  /** Whether rings start disabled and wait for SET_VRING_ENABLE. */
  get explicitEnable(): boolean {
    return hasFeature(this.features, VHOST_USER_F_PROTOCOL_FEATURES);
  }
}
