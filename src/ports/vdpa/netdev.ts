// A port's network device into a container: moved to its namespace, named, brought up, addressed. Blocks on RTNL: the
// clerk's thread only, except for `checkPlace`.

import { readlinkSync } from "node:fs";
import { RingyardError } from "../../core/errors.ts";
import { phrase, quoted } from "../../core/quote.ts";
import { EACCES, EEXIST, SysError } from "../../sys/errno.ts";
import { closeFd } from "../../sys/fd.ts";
import { addAddress, type Cidr, parseCidr } from "../link/address.ts";
import { DEVICE_NAME, findLink, type Link, setLink } from "../link/link.ts";
import { enter, netnsPath, openNetns } from "../link/netns.ts";

/** Where a network device is to be, as people say it. */
export interface Place {
  /** Name, PID or absolute path of a network namespace. */
  netns: string;
  ifname: string;
  /** Addresses with prefix lengths. */
  ip: string[];
}

/** The same, checked. `netnsFd` is open. */
export interface OpenPlace {
  netns: string;
  netnsFd: number;
  ifname: string;
  addresses: { text: string; cidr: Cidr }[];
}

/** Throws RingyardError where a place cannot be: takes nothing, changes nothing, does not block. Any thread. */
export function checkPlace(place: Place): void {
  closeFd(openPlace(place).netnsFd);
}

/** Checks a place and opens its namespace, which the caller closes. Throws RingyardError. */
export function openPlace({ netns, ifname, ip }: Place): OpenPlace {
  if (!DEVICE_NAME.test(ifname)) {
    const next = "use 1 to 15 characters, no space, / or :";
    throw new RingyardError("BAD_OPTION", `${quoted(ifname.slice(0, 40))} is no name for a network device`, next);
  }
  const addresses = ip.map((text) => ({ text, cidr: parseCidr(text) }));
  return { netns, netnsFd: openNetns(netnsPath(netns)), ifname, addresses };
}

/** Throws RingyardError where the namespace has another device of that name. `index` is that of ours, in our namespace. */
export function refuseTakenName({ netns, netnsFd, ifname }: OpenPlace, index: number): void {
  const there = enter(netnsFd, () => findLink(ifname));
  if (there === null || (there.index === index && isOurs(netnsFd))) return;
  const next = "choose another name: --ifname NAME";
  throw new RingyardError("EXISTS", `network namespace ${phrase(netns)} has a device ${ifname} already`, next);
}

/** Whether a descriptor is of this thread's own namespace. */
function isOurs(netnsFd: number): boolean {
  return readlinkSync(`/proc/self/fd/${netnsFd}`) === readlinkSync("/proc/thread-self/ns/net");
}

/** Moves the device with `index` in our namespace there. Throws RingyardError, and then it may be in either. */
export function placeNetdev(index: number, place: OpenPlace): Link {
  const { netns, netnsFd, ifname, addresses } = place;
  try {
    setLink(index, { netnsFd, name: ifname, up: true });
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno === EEXIST) refuseTakenName(place, index);
    throw new RingyardError("SYSTEM", `device ${ifname} in network namespace ${phrase(netns)}: ${error.message}`);
  }
  return enter(netnsFd, () => {
    const link = findLink(ifname);
    if (link === null)
      throw new RingyardError("NOT_FOUND", `device ${ifname} has left network namespace ${phrase(netns)}`);
    for (const { text, cidr } of addresses) addressNetdev(link.index, text, cidr);
    return link;
  });
}

function addressNetdev(index: number, text: string, cidr: Cidr): void {
  try {
    addAddress(index, cidr);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno === EEXIST) return;
    const off = error.errno === EACCES && text.includes(":");
    const next = off ? "sysctl net.ipv6.conf.all.disable_ipv6=0, inside" : undefined;
    throw new RingyardError("BAD_OPTION", `the kernel does not take ${text}: ${error.message}`, next);
  }
}
