// Tells a service manager how we are (sd_notify(3)): a datagram to the socket that it named in NOTIFY_SOCKET, nothing
// where it named none. Control thread.

import { readFileSync } from "node:fs";

export type ServiceState = "READY=1" | "RELOADING=1" | "STOPPING=1";

/** Never throws: a manager that went away is no reason to stop. Returns what went wrong. */
export async function notify(state: ServiceState, socket = process.env.NOTIFY_SOCKET): Promise<string | null> {
  if (socket === undefined || socket === "") return null;
  try {
    const { sendDatagram } = await import("../sys/unix.ts");
    sendDatagram(socket, state === "RELOADING=1" ? `${state}\nMONOTONIC_USEC=${monotonicUs()}` : state);
    return null;
  } catch (error) {
    return String(error);
  }
}

/**
 * systemd takes a RELOADING only with a time that is not before its own request. /proc/uptime counts hundredths, rounded
 * down, so one is added.
 */
function monotonicUs(): number {
  const [uptimeS] = readFileSync("/proc/uptime", "utf8").split(" ");
  return Math.round((Number(uptimeS) + 0.01) * 1e6);
}
