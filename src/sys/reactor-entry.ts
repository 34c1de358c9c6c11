// The reactor's Worker: sleeps in epoll_wait and posts the tokens that became ready. Ends on token 0.

import { EpollWaiter } from "./epoll.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<number>) => {
  const waiter = new EpollWaiter(event.data);
  for (;;) {
    const count = waiter.wait(-1);
    const tokens: number[] = [];
    for (let index = 0; index < count; index++) tokens.push(waiter.token(index));
    if (tokens.includes(0)) break;
    if (tokens.length > 0) self.postMessage(tokens);
  }
  process.exit(0);
};
