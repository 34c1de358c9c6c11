// Readiness of raw descriptors on the control thread, without polling. A small Worker sleeps in epoll_wait and posts the
// tokens that became ready; each watch is one-shot and is armed again after its callback has run, so a slow callback
// sees no storm. Used for vhost-user sockets, whose messages carry descriptors that Bun's own sockets cannot receive.
// Control thread only; closing stops the Worker.

import { EPOLLIN, EPOLLONESHOT, EPOLLRDHUP, epollAdd, epollCreate, epollModify, epollRemove } from "./epoll.ts";
import { closeFd, eventFd, signal } from "./fd.ts";

type Callback = () => void | Promise<void>;

interface Watch {
  fd: number;
  callback: Callback;
}

/** Token 0 is the reactor's own doorbell: its event ends the Worker. */
const CLOSE_TOKEN = 0;
const READABLE_ONCE = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;

export class Reactor {
  private readonly epfd = epollCreate();
  private readonly doorbell = eventFd();
  private readonly watches = new Map<number, Watch>();
  private readonly worker: Worker;
  private nextToken = 1;
  private closed: Promise<void> | undefined;

  constructor() {
    epollAdd(this.epfd, this.doorbell, EPOLLIN, CLOSE_TOKEN);
    this.worker = new Worker(new URL("./reactor-entry.ts", import.meta.url).href);
    this.worker.onmessage = (event: MessageEvent<number[]>) => {
      for (const token of event.data) void this.dispatch(token);
    };
    this.worker.postMessage(this.epfd);
  }

  /** Calls back whenever `fd` is readable or hung up. Returns a token. */
  watch(fd: number, callback: Callback): number {
    const token = this.nextToken++;
    epollAdd(this.epfd, fd, READABLE_ONCE, token);
    this.watches.set(token, { fd, callback });
    return token;
  }

  /** Ends a watch; call it before closing the descriptor. */
  unwatch(token: number): void {
    const watch = this.watches.get(token);
    if (watch === undefined) return;
    this.watches.delete(token);
    epollRemove(this.epfd, watch.fd);
  }

  private async dispatch(token: number): Promise<void> {
    const watch = this.watches.get(token);
    if (watch === undefined) return;
    await watch.callback();
    if (this.watches.has(token)) epollModify(this.epfd, watch.fd, READABLE_ONCE, token);
  }

  /** Ends the Worker and gives the descriptors back. Idempotent. */
  close(): Promise<void> {
    this.closed ??= new Promise((resolve) => {
      this.worker.addEventListener("close", () => {
        closeFd(this.epfd);
        closeFd(this.doorbell);
        resolve();
      });
      signal(this.doorbell);
    });
    return this.closed;
  }
}
