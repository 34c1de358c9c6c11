// epoll: how a dataplane worker and the reactor sleep. The event buffer is an mmapped page, since its address is kept.
//
//   struct epoll_event, packed on x86-64 (12 bytes): events u32 | data u64; elsewhere 16 bytes: events u32, pad, data u64
//
// An EpollWaiter belongs to the thread that waits; `epollAdd`, `epollModify` and `epollRemove` may come from any (the kernel locks).

import { check, EINTR, errno } from "./errno.ts";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "./memory.ts";

export const EPOLLIN = 0x001;
export const EPOLLERR = 0x008;
export const EPOLLRDHUP = 0x2000;
export const EPOLLONESHOT = 1 << 30;
export const EPOLLET = 1 << 31;

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EVENT_WORDS = process.arch === "x64" ? 3 : 4;
const DATA_WORD = process.arch === "x64" ? 1 : 2;
const MAX_EVENTS = 64;

/** Adds, changes or removes `fd` in epoll set `epfd`; `token` comes back with its events. Any thread. */
function control(epfd: number, op: number, fd: number, events: number, token: number): void {
  const event = new Uint32Array(EVENT_WORDS);
  event[0] = events;
  event[DATA_WORD] = token;
  check(libc.epoll_ctl(epfd, op, fd, event), "epoll_ctl");
}

export function epollAdd(epfd: number, fd: number, events: number, token: number): void {
  control(epfd, EPOLL_CTL_ADD, fd, events, token);
}

export function epollModify(epfd: number, fd: number, events: number, token: number): void {
  control(epfd, EPOLL_CTL_MOD, fd, events, token);
}

export function epollRemove(epfd: number, fd: number): void {
  control(epfd, EPOLL_CTL_DEL, fd, 0, 0);
}

export function epollCreate(): number {
  return check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
}

/** The waiting side of an epoll set. */
export class EpollWaiter {
  private readonly address = mapAnonymous(PAGE_SIZE);
  private readonly words = new Uint32Array(viewOf(this.address, 0, PAGE_SIZE));

  constructor(readonly epfd: number) {}

  /** Waits up to `timeoutMs` (-1: for ever); returns how many events, 0 after a signal. Throws SysError. */
  wait(timeoutMs: number): number {
    const count = libc.epoll_wait(this.epfd, this.address, MAX_EVENTS, timeoutMs);
    if (count < 0 && errno() === EINTR) return 0;
    return check(count, "epoll_wait");
  }

  /** Token of the event at `index`, below the last wait's count. */
  token(index: number): number {
    return this.words[index * EVENT_WORDS + DATA_WORD];
  }

  /** Its EPOLL* bits. */
  events(index: number): number {
    return this.words[index * EVENT_WORDS];
  }

  close(): void {
    unmap(this.address, PAGE_SIZE);
    closeFd(this.epfd);
  }
}
