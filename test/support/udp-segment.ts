// A program that sends UDP super-frames: one send(2) of up to 64 KiB, which the kernel, a device or the switch cuts into
// datagrams of SEGMENT bytes (UDP_SEGMENT, since Linux 4.18). Bun's own sockets cannot ask for that. Prints the size and hash
// of each datagram that a receiver has to see, in order, as `UDP_SINK` of traffic.ts does of each that it sees.
//
//   bun udp-segment.ts ADDRESS PORT SEGMENT SIZE...        one super-frame of each SIZE

import { dlopen } from "bun:ffi";

// bits/socket.h, linux/udp.h
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" }, // int socket(int domain, int type, int protocol)
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" }, // int setsockopt(int, int level, int name, const void *, socklen_t)
  connect: { args: ["i32", "buffer", "u32"], returns: "i32" }, // int connect(int, const struct sockaddr *, socklen_t)
  send: { args: ["i32", "buffer", "u64", "i32"], returns: "i64" }, // ssize_t send(int, const void *, size_t, int flags)
}).symbols;

/** struct sockaddr_in or sockaddr_in6; of IPv6, addresses `PREFIX::LAST` with one group behind the gap. */
function socketAddress(text: string, port: number): Uint8Array {
  const v4 = text.includes(".");
  const bytes = new Uint8Array(v4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  if (v4) bytes.set(text.split(".").map(Number), 4);
  else {
    const [prefix, last] = text.split("::");
    for (const [n, group] of prefix.split(":").entries()) view.setUint16(8 + n * 2, Number.parseInt(group, 16));
    view.setUint16(22, Number.parseInt(last, 16));
  }
  return bytes;
}

function succeed(result: number | bigint, what: string): number {
  if (result < 0) throw new Error(`${what} failed`);
  return Number(result);
}

const [address, port, segment, ...sizes] = process.argv.slice(2);
const target = socketAddress(address, Number(port));
const fd = succeed(libc.socket(address.includes(".") ? AF_INET : AF_INET6, SOCK_DGRAM, 0), "socket");
const option = new Int32Array([Number(segment)]);
succeed(libc.setsockopt(fd, SOL_UDP, UDP_SEGMENT, option, option.byteLength), "setsockopt UDP_SEGMENT");
succeed(libc.connect(fd, target, target.length), "connect");
for (const size of sizes.map(Number)) {
  const bytes = crypto.getRandomValues(new Uint8Array(size));
  if (succeed(libc.send(fd, bytes, size, 0), "send") !== size) throw new Error(`less than ${size} bytes were sent`);
  for (let at = 0; at < size; at += Number(segment)) {
    const datagram = bytes.subarray(at, at + Number(segment));
    const hash = new Bun.CryptoHasher("sha256").update(datagram).digest("hex");
    console.log(`datagram ${datagram.length} ${hash}`);
  }
}
