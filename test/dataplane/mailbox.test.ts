// The mailbox between the control thread and a worker, both ends in this thread: what is asked arrives, answers and errors
// come back to whoever asked, one request after the other.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { RingyardError } from "../../src/core/errors.ts";
import { MailboxClient, MailboxServer } from "../../src/dataplane/mailbox.ts";
import { clearSignal, closeFd, eventFd } from "../../src/sys/fd.ts";
import { until } from "../support/until.ts";

let doorbell: number;
let client: MailboxClient;
let server: MailboxServer;

beforeEach(() => {
  doorbell = eventFd();
  client = new MailboxClient(doorbell);
  server = new MailboxServer(client.buffer);
});
afterEach(() => closeFd(doorbell));

/** Waits for the next request, as a worker's breaths do, and answers it. */
async function serve(handle: (request: unknown) => unknown): Promise<void> {
  await until("a request", () => server.waiting(), { everyMs: 0 });
  server.serve(handle);
}

test("nothing waits, and no bell rings, until somebody asks", () => {
  expect(server.waiting()).toBe(false);
  expect(clearSignal(doorbell)).toBe(false);
});

test("a request arrives with the bell, and its answer comes back", async () => {
  const request = { op: "open", numbers: [1, 2.5, -3, 2 ** 45 + 1], nested: { text: "ä", none: null, yes: true } };
  const answer = client.call(request);
  let seen: unknown;
  await serve((it) => {
    seen = it;
    return { answer: 42 };
  });
  expect(seen).toEqual(request);
  expect(await answer).toEqual({ answer: 42 });
  expect(clearSignal(doorbell)).toBe(true);
  expect(server.waiting()).toBe(false);
});

test("requests are served in the order in which they were made, one at a time", async () => {
  const answers = Array.from({ length: 50 }, (_, n) => client.call(n));
  const served: unknown[] = [];
  for (let n = 0; n < 50; n++) {
    await serve((it) => {
      served.push(it);
      return Number(it) * 2;
    });
    expect(server.waiting()).toBe(false);
  }
  expect(served).toEqual(Array.from({ length: 50 }, (_, n) => n));
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 50 }, (_, n) => n * 2));
});

describe("a handler that throws", () => {
  test("gives its RingyardError to the caller, code and advice included", async () => {
    const answer = client.call("x").catch((error) => error);
    await serve(() => {
      throw new RingyardError("PROTOCOL", "descriptor table at 0x10 is not aligned", "align it");
    });
    const error = await answer;
    expect(error).toBeInstanceOf(RingyardError);
    expect(error).toMatchObject({
      code: "PROTOCOL",
      message: "descriptor table at 0x10 is not aligned",
      next: "align it",
    });
  });

  test("of anything else becomes a SYSTEM error", async () => {
    const answer = client.call("x").catch((error) => error);
    await serve(() => {
      throw new TypeError("undefined is not a function");
    });
    expect(await answer).toMatchObject({ code: "SYSTEM", message: "undefined is not a function" });
  });

  test("does not disturb the requests behind it", async () => {
    const answers = Promise.allSettled(["bad", "good"].map((request) => client.call(request)));
    for (let n = 0; n < 2; n++) {
      await serve((request) => {
        if (request === "bad") throw new Error("no");
        return request;
      });
    }
    expect((await answers).map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
  });
});

test("a request that has no room is refused, and the next one goes through", async () => {
  const large = client.call(new Uint8Array(300 * 1024)).catch((error) => error);
  expect(await large).toMatchObject({ code: "LIMIT" });
  const answer = client.call("small");
  await serve((it) => it);
  expect(await answer).toBe("small");
});

test("a notify without a reply ends no call", async () => {
  let done = false;
  const answer = client.call("x").then(() => {
    done = true;
  });
  await until("the request", () => server.waiting(), { everyMs: 0 });
  Atomics.notify(new Int32Array(client.buffer, 0, 16), 1);
  for (let turn = 0; turn < 10; turn++) await Bun.sleep(0);
  expect(done).toBe(false);
  server.serve(() => null);
  await answer;
});
