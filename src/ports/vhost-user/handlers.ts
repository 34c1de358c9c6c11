// What each vhost-user message does (QEMU docs/interop/vhost-user.rst, "Front-end message types"). A table says for every
// request how large its payload is and how many descriptors it may carry, so that one place refuses what does not fit;
// descriptors that nobody took are closed. Handlers run one at a time per connection, on the control thread.

import { DELIVER_NEXT, FETCH_AVAIL } from "../../mem/lane-state.ts";
import { closeFd, isEventFd, setNonBlocking } from "../../sys/fd.ts";
import { unmap } from "../../sys/memory.ts";
import * as vu from "../../uapi/vhost_user.ts";
import { OFFERED_PROTOCOL_FEATURES } from "./device-config.ts";
import { MAX_MEM_SLOTS, mapRegion, readRegion } from "./memory.ts";
import { type Message, protocolError, readU64, sendReply, u64Payload } from "./message.ts";
import type { Session } from "./session.ts";

type Reply = Uint8Array | undefined;

interface Handler {
  name: string;
  /** Payload sizes allowed, inclusive. */
  size: readonly [number, number];
  /** Descriptors allowed, at most; a handler that needs them says so. */
  fds: number;
  run(session: Session, message: Message): Promise<Reply> | Reply;
}

const U64 = [8, 8] as const;
const EMPTY = [0, 8] as const;
const STATE = [vu.struct_vhost_vring_state.size, vu.struct_vhost_vring_state.size] as const;

const handlers: Readonly<Record<number, Handler>> = {
  [vu.VHOST_USER_GET_FEATURES]: {
    name: "GET_FEATURES",
    size: EMPTY,
    fds: 0,
    run: ({ device }) => u64Payload(device.features.lo, device.features.hi),
  },
  [vu.VHOST_USER_SET_FEATURES]: { name: "SET_FEATURES", size: U64, fds: 0, run: setFeatures },
  [vu.VHOST_USER_SET_OWNER]: { name: "SET_OWNER", size: EMPTY, fds: 0, run: nothing },
  [vu.VHOST_USER_RESET_OWNER]: { name: "RESET_OWNER", size: EMPTY, fds: 0, run: resetDevice },
  [vu.VHOST_USER_RESET_DEVICE]: { name: "RESET_DEVICE", size: EMPTY, fds: 0, run: resetDevice },
  [vu.VHOST_USER_SET_MEM_TABLE]: {
    name: "SET_MEM_TABLE",
    size: [8, 8 + vu.VHOST_MEMORY_BASELINE_NREGIONS * vu.struct_vhost_user_memory_region.size],
    fds: vu.VHOST_MEMORY_BASELINE_NREGIONS,
    run: setMemTable,
  },
  [vu.VHOST_USER_GET_MAX_MEM_SLOTS]: {
    name: "GET_MAX_MEM_SLOTS",
    size: EMPTY,
    fds: 0,
    run: () => u64Payload(MAX_MEM_SLOTS),
  },
  [vu.VHOST_USER_ADD_MEM_REG]: { name: "ADD_MEM_REG", size: [40, 40], fds: 1, run: addMemReg },
  [vu.VHOST_USER_REM_MEM_REG]: { name: "REM_MEM_REG", size: [40, 40], fds: 1, run: remMemReg },
  [vu.VHOST_USER_SET_VRING_NUM]: { name: "SET_VRING_NUM", size: STATE, fds: 0, run: setVringNum },
  [vu.VHOST_USER_SET_VRING_ADDR]: {
    name: "SET_VRING_ADDR",
    size: [vu.struct_vhost_vring_addr.size, vu.struct_vhost_vring_addr.size],
    fds: 0,
    run: setVringAddr,
  },
  // The base is the front end's guess of where to go on; used.idx in the ring knows better (session.ts).
  [vu.VHOST_USER_SET_VRING_BASE]: { name: "SET_VRING_BASE", size: STATE, fds: 0, run: checkVring },
  [vu.VHOST_USER_GET_VRING_BASE]: { name: "GET_VRING_BASE", size: STATE, fds: 0, run: getVringBase },
  [vu.VHOST_USER_SET_VRING_KICK]: { name: "SET_VRING_KICK", size: U64, fds: 1, run: setVringKick },
  [vu.VHOST_USER_SET_VRING_CALL]: { name: "SET_VRING_CALL", size: U64, fds: 1, run: setVringCall },
  [vu.VHOST_USER_SET_VRING_ERR]: { name: "SET_VRING_ERR", size: U64, fds: 1, run: setVringErr },
  [vu.VHOST_USER_GET_PROTOCOL_FEATURES]: {
    name: "GET_PROTOCOL_FEATURES",
    size: EMPTY,
    fds: 0,
    run: () => u64Payload(OFFERED_PROTOCOL_FEATURES),
  },
  [vu.VHOST_USER_SET_PROTOCOL_FEATURES]: { name: "SET_PROTOCOL_FEATURES", size: U64, fds: 0, run: setProtocolFeatures },
  [vu.VHOST_USER_GET_QUEUE_NUM]: {
    name: "GET_QUEUE_NUM",
    size: EMPTY,
    fds: 0,
    run: ({ device }) => u64Payload(device.pairs),
  },
  [vu.VHOST_USER_SET_VRING_ENABLE]: { name: "SET_VRING_ENABLE", size: STATE, fds: 0, run: setVringEnable },
  [vu.VHOST_USER_GET_CONFIG]: {
    name: "GET_CONFIG",
    size: [12, 12 + vu.VHOST_USER_CONFIG_SPACE_MAX],
    fds: 0,
    run: getConfig,
  },
  [vu.VHOST_USER_SET_CONFIG]: {
    name: "SET_CONFIG",
    size: [12, 12 + vu.VHOST_USER_CONFIG_SPACE_MAX],
    fds: 0,
    run: nothing,
  },
  [vu.VHOST_USER_SET_STATUS]: { name: "SET_STATUS", size: U64, fds: 0, run: setStatus },
  [vu.VHOST_USER_GET_STATUS]: { name: "GET_STATUS", size: EMPTY, fds: 0, run: ({ status }) => u64Payload(status) },
};

/** Handles one message and answers it where it wants that. Throws RingyardError PROTOCOL: the connection must end. */
export async function handleMessage(session: Session, message: Message): Promise<void> {
  const needReply =
    (message.flags & vu.VHOST_USER_NEED_REPLY_MASK) !== 0 &&
    (session.protocolFeatures & (1 << vu.VHOST_USER_PROTOCOL_F_REPLY_ACK)) !== 0;
  try {
    const handler = handlers[message.request];
    if (handler === undefined) throw protocolError(`unknown request ${message.request}`);
    const size = message.payload.byteLength;
    if (size < handler.size[0] || size > handler.size[1]) throw protocolError(`${handler.name} with ${size} bytes`);
    if (message.fds.length > handler.fds) throw protocolError(`${handler.name} with ${message.fds.length} descriptors`);
    const reply = await handler.run(session, message);
    if (reply !== undefined) sendReply(session.socket, message.request, reply);
    else if (needReply) sendReply(session.socket, message.request, u64Payload(0));
  } catch (error) {
    if (needReply) sendReply(session.socket, message.request, u64Payload(1));
    throw error;
  } finally {
    for (const fd of message.fds) closeFd(fd);
  }
}

function nothing(): Reply {
  return undefined;
}

async function resetDevice(session: Session): Promise<Reply> {
  await session.stopRings();
  session.status = 0;
  return undefined;
}

async function setFeatures(session: Session, { payload }: Message): Promise<Reply> {
  const features = { lo: payload.getUint32(0, true), hi: payload.getUint32(4, true) };
  const offered = session.device.features;
  if ((features.lo & ~offered.lo) !== 0 || (features.hi & ~offered.hi) !== 0) {
    throw protocolError("SET_FEATURES with features that were not offered");
  }
  session.features = features;
  if (!session.knownHeader && !session.legacyReported) {
    session.legacyReported = true;
    session.host.countError("legacy_header");
    session.host.log.warn("vhost-user: a driver without VERSION_1 and MRG_RXBUF is not served: its header is another", {
      socket: session.device.path,
    });
  }
  await session.syncAll();
  return undefined;
}

function setProtocolFeatures(session: Session, { payload }: Message): Reply {
  const features = readU64(payload, 0, "protocol features");
  if (features > 0xffffffff || (features & ~OFFERED_PROTOCOL_FEATURES) !== 0) {
    throw protocolError("SET_PROTOCOL_FEATURES with features that were not offered");
  }
  session.protocolFeatures = features;
  return undefined;
}

async function setMemTable(session: Session, message: Message): Promise<Reply> {
  const { payload, fds } = message;
  const count = payload.getUint32(0, true);
  const regionSize = vu.struct_vhost_user_memory_region.size;
  if (count > vu.VHOST_MEMORY_BASELINE_NREGIONS || payload.byteLength < 8 + count * regionSize) {
    throw protocolError(`SET_MEM_TABLE of ${count} regions in ${payload.byteLength} bytes`);
  }
  if (fds.length !== count) throw protocolError(`SET_MEM_TABLE of ${count} regions with ${fds.length} descriptors`);
  const requests = Array.from({ length: count }, (_, i) => readRegion(payload, 8 + i * regionSize));
  // No worker and no NIC may see the old mappings when they go.
  await session.closeLanes();
  await session.memory.unshare();
  session.memory.clear();
  for (const request of requests) session.memory.add(mapRegion(request, fds.shift() as number));
  await session.memory.share(session.host);
  await session.syncAll();
  return undefined;
}

async function addMemReg(session: Session, { payload, fds }: Message): Promise<Reply> {
  if (fds.length !== 1) throw protocolError("ADD_MEM_REG without its descriptor");
  session.memory.add(mapRegion(readRegion(payload, 8), fds.shift() as number));
  await session.memory.share(session.host);
  await session.syncAll();
  return undefined;
}

async function remMemReg(session: Session, { payload }: Message): Promise<Reply> {
  const region = session.memory.take(readRegion(payload, 8));
  if (region === undefined) return undefined;
  await session.closeLanes();
  await region.share?.release();
  unmap(region.base, region.mapped);
  await session.syncAll();
  return undefined;
}

/** The index in a vring message, checked. */
function vringIndex(session: Session, index: number): number {
  if (index >= session.vrings.length) throw protocolError(`vring ${index} of ${session.vrings.length}`);
  return index;
}

/** Makes the lane follow a change of a ring, which has to lie in the memory table by the time it starts. */
async function syncRing(session: Session, index: number): Promise<void> {
  const vring = session.vrings[index];
  // A change of the table may take a ring's memory away for a moment (REM_MEM_REG, ADD_MEM_REG); a ring's own may not.
  if (vring.ready && vring.config(session.memory) === undefined) {
    throw protocolError(`vring ${index} is not in the memory table`);
  }
  await session.sync(index >> 1);
}

function checkVring(session: Session, { payload }: Message): Reply {
  vringIndex(session, payload.getUint32(0, true));
  return undefined;
}

async function setVringNum(session: Session, { payload }: Message): Promise<Reply> {
  const index = vringIndex(session, payload.getUint32(0, true));
  const size = payload.getUint32(4, true);
  if (size === 0 || size > 32768 || (size & (size - 1)) !== 0) throw protocolError(`SET_VRING_NUM of ${size}`);
  session.vrings[index].size = size;
  await syncRing(session, index);
  return undefined;
}

async function setVringAddr(session: Session, { payload }: Message): Promise<Reply> {
  const { fields } = vu.struct_vhost_vring_addr;
  const index = vringIndex(session, payload.getUint32(fields.index[0], true));
  session.vrings[index].address = {
    desc: readU64(payload, fields.desc[0], "descriptor table"),
    used: readU64(payload, fields.used[0], "used ring"),
    avail: readU64(payload, fields.avail[0], "avail ring"),
  };
  await syncRing(session, index);
  return undefined;
}

async function getVringBase(session: Session, { payload }: Message): Promise<Reply> {
  const index = vringIndex(session, payload.getUint32(0, true));
  const vring = session.vrings[index];
  const { resumed } = vring;
  vring.started = false;
  vring.resumed = false;
  await session.sync(index >> 1);
  // The front end hands out new eventfds when it starts the ring again.
  closeFd(vring.replace("kickFd", -1));
  closeFd(vring.replace("callFd", -1));
  const state = session.host.laneState(index >> 1);
  // A ring that never ran here is where its used.idx says, not where the words were left by another driver.
  const next = resumed ? state[index % 2 === 0 ? DELIVER_NEXT : FETCH_AVAIL] : vring.place(session.memory);
  return u64Payload(index, next);
}

/** The vring of a kick, call or err message, and its descriptor or -1 (VHOST_USER_VRING_NOFD_MASK). */
function vringFd(session: Session, { payload, fds }: Message): { index: number; fd: number } {
  const word = payload.getUint32(0, true);
  const index = vringIndex(session, word & vu.VHOST_USER_VRING_IDX_MASK);
  const without = (word & vu.VHOST_USER_VRING_NOFD_MASK) !== 0;
  if (fds.length !== (without ? 0 : 1)) throw protocolError(`vring ${index}: ${fds.length} descriptors`);
  if (!without && !isEventFd(fds[0])) throw protocolError(`vring ${index}: the descriptor is no eventfd`);
  // A worker that signals a full eventfd must not wait for its owner to read it.
  if (!without) setNonBlocking(fds[0]);
  return { index, fd: fds.shift() ?? -1 };
}

async function setVringKick(session: Session, message: Message): Promise<Reply> {
  const { index, fd } = vringFd(session, message);
  const vring = session.vrings[index];
  const old = vring.replace("kickFd", fd);
  vring.started = true;
  if (!session.explicitEnable) vring.enabled = true;
  try {
    await syncRing(session, index);
  } finally {
    closeFd(old);
  }
  return undefined;
}

async function setVringCall(session: Session, message: Message): Promise<Reply> {
  const { index, fd } = vringFd(session, message);
  const old = session.vrings[index].replace("callFd", fd);
  try {
    await session.callChanged(index);
  } finally {
    closeFd(old);
  }
  return undefined;
}

function setVringErr(session: Session, message: Message): Reply {
  const { index, fd } = vringFd(session, message);
  closeFd(session.vrings[index].replace("errFd", fd));
  return undefined;
}

async function setVringEnable(session: Session, { payload }: Message): Promise<Reply> {
  const index = vringIndex(session, payload.getUint32(0, true));
  session.vrings[index].enabled = payload.getUint32(4, true) !== 0;
  await syncRing(session, index);
  return undefined;
}

function getConfig(session: Session, { payload }: Message): Reply {
  const offset = payload.getUint32(0, true);
  const size = payload.getUint32(4, true);
  const space = session.device.space;
  // A payload of length zero is the document's way to refuse a request.
  if (size > payload.byteLength - 12 || offset + size > vu.VHOST_USER_CONFIG_SPACE_MAX) return new Uint8Array(0);
  const reply = new Uint8Array(12 + size);
  reply.set(new Uint8Array(payload.buffer, 0, 12));
  reply.set(space.subarray(offset, offset + size), 12);
  return reply;
}

async function setStatus(session: Session, { payload }: Message): Promise<Reply> {
  session.status = payload.getUint32(0, true) & 0xff;
  if (session.status === 0) await session.stopRings();
  return undefined;
}
