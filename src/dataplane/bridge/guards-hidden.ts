// HOT
// What a guard cannot see it does not let in: headers that lie where the flow key does not look, though a receiver might.
//
//   tags      the key looks behind two; a third one hides whatever it likes (VLAN 0 tags may be stacked)
//   802.3     a length in place of the EtherType, then LLC and SNAP with the EtherType behind: some receivers, and every access point on the
//             way, take such a frame for what it encapsulates. Both ways past guards are known as VU#855201 (CVE-2021-27853 to 27862).
//   IPv6      a chain of extension headers that leaves the frame's first bytes, or its first fragment (RFC 7113, RFC 7112)
//
// Fragments behind the first have no ports and types of their own, and pass: without the first one, which is judged, nobody puts
// them together, and they cannot overlap its headers (RFC 5722; of IPv4 the first 8 bytes are the first one's alone). Any worker.

import { ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q } from "../../uapi/if_ether.ts";
import { IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ROUTING } from "../../uapi/in.ts";
import { CLASS_INNER, CLASS_IP6, CLASS_LATER, CLASS_VLAN, KEY_CLASS, KEY_TYPE } from "../rules/key.ts";

/** IEEE 802.3, 3.2.6: lower numbers are lengths. */
const ETH_TYPE_MIN = 0x600;
const TAG_SIZE = 4;
/** DSAP and SSAP of SNAP; their lowest bits say something else. */
const LLC_SNAP = 0xaaaa;
const LLC_SAPS = 0xfefe;
// IANA's IPv6 extension headers (RFC 7045) that the key does not walk: mobility, HIP, shim6, experiments.
const MOBILITY = 135;
const HIP = 139;
const SHIM6 = 140;
const EXPERIMENT_1 = 253;
const EXPERIMENT_2 = 254;

/** Where the header behind Ethernet and the tags that a key has begins in its frame at `at`. */
export function networkHeader(key: Int32Array, at: number): number {
  const classes = key[KEY_CLASS];
  if ((classes & CLASS_VLAN) === 0) return at + ETH_HLEN;
  return at + ETH_HLEN + ((classes & CLASS_INNER) === 0 ? TAG_SIZE : 2 * TAG_SIZE);
}

/** Whether the frame of `length` bytes at `at` may be IP or ARP under a cover that the key does not lift. */
export function isCovered(key: Int32Array, view: DataView, at: number, length: number): boolean {
  const type = key[KEY_TYPE] >>> 16;
  if (type === ETH_P_8021Q || type === ETH_P_8021AD) return true;
  if (type >= ETH_TYPE_MIN) return false;
  const llc = networkHeader(key, at);
  return length - (llc - at) >= 2 && (view.getUint16(llc) & LLC_SAPS) === LLC_SNAP;
}

/** Whether an IPv6 packet may have a header of protocol `wanted`, whose class bit is `found`, that the key does not have. */
export function mayHide6(key: Int32Array, wanted: number, found: number): boolean {
  const classes = key[KEY_CLASS];
  if ((classes & CLASS_IP6) === 0 || (classes & (CLASS_LATER | found)) !== 0) return false;
  const protocol = (key[KEY_TYPE] >>> 8) & 0xff;
  return protocol === wanted || isExtension(protocol);
}

function isExtension(protocol: number): boolean {
  switch (protocol) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_FRAGMENT:
    case IPPROTO_AH:
    case IPPROTO_DSTOPTS:
    case MOBILITY:
    case HIP:
    case SHIM6:
    case EXPERIMENT_1:
    case EXPERIMENT_2:
      return true;
    default:
      return false;
  }
}
