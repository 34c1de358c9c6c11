// The message thread (see responder.ts): sleeps in epoll_wait, reads every waiting message, answers or posts it. It makes no
// call that waits for anything but messages.

import { EPOLLERR, EpollWaiter } from "../../sys/epoll.ts";
import { clearSignal, endThread, readAt, writeAt } from "../../sys/fd.ts";
import { mapAnonymous, PAGE_SIZE, unmap, viewOf } from "../../sys/memory.ts";
import { needsNoWaiting, REQUEST_SIZE, RESPONSE_SIZE, readRequest, writeResponse } from "./message.ts";
import { DOORBELL, type Posted, type ResponderStart } from "./responder.ts";

declare const self: Worker;

self.onmessage = ({ data: { epfd, doorbell, asked } }: MessageEvent<ResponderStart>) => {
  const page = mapAnonymous(PAGE_SIZE);
  const request = new DataView(viewOf(page, 0, REQUEST_SIZE));
  const responseAt = page + 1024;
  const response = new DataView(viewOf(responseAt, 0, RESPONSE_SIZE));
  const syncs = new Int32Array(asked);
  const waiter = new EpollWaiter(epfd);
  const post = (posted: Posted) => self.postMessage(posted);

  const serve = (fd: number): void => {
    while (readAt(fd, page, REQUEST_SIZE) === REQUEST_SIZE) {
      const read = readRequest(request);
      const answered = needsNoWaiting(read);
      if (answered) {
        writeResponse(response, read.id, true);
        writeAt(fd, responseAt, RESPONSE_SIZE);
      }
      post({ fd, request: read, answered });
    }
  };

  for (;;) {
    const count = waiter.wait(-1);
    let doorbellRang = false;
    for (let index = 0; index < count; index++) {
      const fd = waiter.token(index);
      if (fd === DOORBELL) {
        doorbellRang = true;
        continue;
      }
      serve(fd);
      if ((waiter.events(index) & EPOLLERR) !== 0) post({ fd, broken: true });
    }
    if (!doorbellRang) continue;
    clearSignal(doorbell);
    // After the reads above: whoever asked has taken its device out of the set before.
    const number = Atomics.load(syncs, 0);
    if (number < 0) break;
    post({ synced: number });
  }
  waiter.close();
  unmap(page, PAGE_SIZE);
  endThread();
  process.exit(0);
};
