// A TCP transfer for machines without iperf3: a receiver that takes what comes, a sender that sends for some seconds.
//
//   bun transfer.ts receive PORT              says "listening", ends with its first connection
//   bun transfer.ts send ADDRESS PORT S       prints {"rateBps":...}, as counted by the receiver

export {};

const CHUNK = new Uint8Array(256 * 1024);
const REPORT_SIZE = 8;

/** Counts until the other side has sent its all, and tells it how much that was. */
function receive(port: number): void {
  let count = 0;
  Bun.listen({
    hostname: "0.0.0.0",
    port,
    allowHalfOpen: true,
    socket: {
      data(_, bytes) {
        count += bytes.length;
      },
      end(socket) {
        socket.end(new Uint8Array(Float64Array.of(count).buffer));
      },
      close: () => process.exit(0),
    },
  });
  console.log("listening");
}

async function send(hostname: string, port: number, seconds: number): Promise<void> {
  const counted = Promise.withResolvers<number>();
  const startedMs = performance.now();
  let ending = false;
  const fill = (socket: Bun.Socket) => {
    while (performance.now() - startedMs < seconds * 1000) if (socket.write(CHUNK) < CHUNK.length) return;
    if (ending) return;
    ending = true;
    socket.shutdown();
  };
  await Bun.connect({
    hostname,
    port,
    allowHalfOpen: true,
    socket: {
      open: fill,
      drain: fill,
      data(_, bytes) {
        if (bytes.length === REPORT_SIZE) counted.resolve(new Float64Array(bytes.slice().buffer)[0]);
      },
      close: () => counted.reject(new Error("the receiver hung up")),
    },
  });
  const count = await counted.promise;
  console.log(JSON.stringify({ rateBps: (count * 8000) / (performance.now() - startedMs) }));
  process.exit(0);
}

const [what, ...words] = process.argv.slice(2);
if (what === "receive") receive(Number(words[0]));
else await send(words[0], Number(words[1]), Number(words[2]));
