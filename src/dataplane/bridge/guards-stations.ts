// The stations of source guard as numbers, from the text of a policy: what guards-bindings.ts puts into its table.
//
//   { mac "020000000001", ips ["10.0.0.5/32", "fd00::/64"] }  ->  { high 0200, low 00000001, prefixes4 [ value, mask ], prefixes6 [ ... ] }
//
// Every change of rules, policies or captures makes the table anew, between two bursts of a worker, and most change no station: so the
// stations are kept as long as the text is the same, and what a prefix means from one text to the next (a thousand stations: about 1 ms
// and 8 instead of 30, for the whole table). Each worker keeps its own. Cold; worker threads.

import { RingyardError } from "../../core/errors.ts";
import { IP4, IP6, prefixMask } from "../../core/ip.ts";
import { quoted } from "../../core/quote.ts";
import type { BridgePolicy } from "./policy.ts";

/** One station at one port. */
export interface Station {
  port: number;
  /** Bytes 0-1 and 2-5 of its address. */
  high: number;
  low: number;
  /** It may use every address. */
  any: boolean;
  /** Value and mask of each, in words. */
  prefixes4: number[];
  prefixes6: number[];
}

/** Words of a prefix: 2, or 8 where it is of IPv6. */
type Prefix = readonly number[];

const MAC_HEX = /^[0-9a-f]{12}$/;
const LENGTH = /^\d{1,3}$/;
const WORDS4 = 2;

let known = new Map<string, Prefix>();
let last: { text: string; stations: readonly Station[] } = { text: "", stations: [] };

/** The stations of all ports, each once, with all of its prefixes. Throws what is wrong with one. */
export function stationsOf(policy: BridgePolicy): readonly Station[] {
  const text = JSON.stringify(policy.ports.map(({ port, sources }) => [port, sources]));
  if (text !== last.text) last = { text, stations: readStations(policy) };
  return last.stations;
}

function readStations({ ports }: BridgePolicy): Station[] {
  const stations = new Map<string, Station>();
  const used = new Map<string, Prefix>();
  for (const { port, sources } of ports) {
    for (const { mac, ips } of sources ?? []) {
      const station = stationAt(stations, port, mac);
      if (ips.length === 0) station.any = true;
      for (const text of ips) {
        const prefix = used.get(text) ?? known.get(text) ?? parsePrefix(text);
        used.set(text, prefix);
        const words = prefix.length === WORDS4 ? station.prefixes4 : station.prefixes6;
        words.push(...prefix);
      }
    }
  }
  known = used;
  for (const station of stations.values()) {
    if (station.prefixes6.length > 0) station.prefixes6.push(...linkLocal(station));
  }
  return [...stations.values()];
}

function stationAt(stations: Map<string, Station>, port: number, mac: string): Station {
  const hex = mac.replaceAll(":", "").toLowerCase();
  const key = `${port} ${hex}`;
  const before = stations.get(key);
  if (before !== undefined) return before;
  if (!MAC_HEX.test(hex)) throw impossible(mac, "MAC address");
  const [high, low] = [hex.slice(0, 4), hex.slice(4)].map((digits) => Number.parseInt(digits, 16) | 0);
  const station = { port, high, low, any: false, prefixes4: [], prefixes6: [] };
  stations.set(key, station);
  return station;
}

function parsePrefix(text: string): Prefix {
  const [address, length, ...more] = text.split("/");
  const { bits, parse } = address.includes(":") ? IP6 : IP4;
  const value = parse(address);
  const ones = length === undefined ? bits : LENGTH.test(length) ? Number(length) : -1;
  if (value === null || more.length > 0 || ones < 0 || ones > bits) throw impossible(text, "address or prefix");
  const mask = prefixMask(bits, ones);
  return [...wordsOf(value & mask, bits), ...wordsOf(mask, bits)];
}

function impossible(text: string, what: string): RingyardError {
  const next = "write it as 02:00:00:00:00:01 10.0.0.5 fd00::/64";
  return new RingyardError("BAD_OPTION", `source guard: ${quoted(text.slice(0, 50))} is no ${what}`, next);
}

/** A number as words, the first on top. */
function wordsOf(value: bigint, bits: number): number[] {
  return Array.from({ length: bits / 32 }, (_, k) => Number((value >> BigInt(bits - 32 - 32 * k)) & 0xffff_ffffn) | 0);
}

/** fe80::/64 and the modified EUI-64 of a station's address (RFC 4291, appendix A), and a mask of ones. */
function linkLocal({ high, low }: Station): Prefix {
  const front = ((high ^ 0x0200) << 16) | ((low >>> 16) & 0xff00) | 0xff;
  return [0xfe80_0000 | 0, 0, front, 0xfe00_0000 | (low & 0xff_ffff), -1, -1, -1, -1];
}
