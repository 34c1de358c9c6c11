// Policies that fast-check makes up, as they are kept (named-policy.ts): every setting of ports, VLANs and mirrors, all of them
// possible, in their canonical order. For properties about printing and reading them, and about reloads.

import fc from "fast-check";
import type { NamedMirror, PortSettings } from "../../src/control/policy/named-policy.ts";
import type { Rate, SourceBinding, VidRange, VlanMembership, VlanPolicy } from "../../src/dataplane/bridge/policy.ts";

const vid = fc.integer({ min: 1, max: 4094 });

/** Apart from one another, so that no two are one. */
const ranges: fc.Arbitrary<VidRange[]> = fc
  .uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 5 })
  .chain((tens) =>
    fc.tuple(
      ...tens
        .sort((a, b) => a - b)
        .map((ten) =>
          fc
            .tuple(fc.integer({ min: 1, max: 4 }), fc.nat(4))
            .map(([first, more]): VidRange => [10 * ten + first, 10 * ten + first + more]),
        ),
    ),
  );

const trunk: fc.Arbitrary<VlanMembership> = fc
  .record({
    allowed: fc.oneof(ranges, fc.constant<VidRange[]>([[1, 4094]])),
    native: fc.oneof(fc.constant(0), vid),
    isTagged: fc.boolean(),
    tpid: fc.constantFrom(0x8100, 0x88a8),
    isMapped: fc.boolean(),
  })
  .map(({ allowed, native, isTagged, tpid, isMapped }) => {
    // Each with the id behind the last of its range, which no range has: none begins where another ends.
    const map = isMapped && allowed[0][1] < 4094 ? allowed.map(([, last]) => [last + 1, last] as const) : [];
    const free = map.some(([wire]) => wire === native) ? [] : map;
    return { mode: "trunk", allowed, native, nativeTagged: isTagged && native > 0, tpid, map: free };
  });

const membership: fc.Arbitrary<VlanMembership> = fc.oneof(
  vid.map((id) => ({ mode: "access" as const, vid: id })),
  vid.map((id) => ({ mode: "tunnel" as const, vid: id })),
  trunk,
);

const rate: fc.Arbitrary<Rate> = fc.oneof(
  fc.record({
    unit: fc.constant("bits" as const),
    rate: fc.integer({ min: 1, max: 1e12 }),
    burst: fc.integer({ min: 8, max: 1e9 }),
  }),
  fc.record({
    unit: fc.constant("frames" as const),
    rate: fc.integer({ min: 1, max: 1e9 }),
    burst: fc.integer({ min: 1, max: 1e6 }),
  }),
);

const octet = fc.nat(255);
const hex = (number: number, digits: number) => number.toString(16).padStart(digits, "0");
const binding: fc.Arbitrary<SourceBinding> = fc.record({
  mac: fc.integer({ min: 1, max: 2 ** 40 - 1 }).map((number) => `02${hex(number, 10)}`),
  ips: fc.uniqueArray(
    fc.oneof(
      fc.tuple(octet, octet, octet).map(([a, b, c]) => `10.${a}.${b}.${c}/32`),
      octet.map((a) => `172.16.${a}.0/24`),
      octet.map((a) => `2001:db8:${hex(a + 1, 1)}::/48`),
      octet.map((a) => `fe80::${hex(a + 1, 1)}/128`),
    ),
    { maxLength: 3 },
  ),
});

const name = fc.string({ unit: fc.constantFrom(..."abZ09_.-"), minLength: 1, maxLength: 32 });

/** What may be said of a port. */
export const portSettings: fc.Arbitrary<PortSettings> = fc.record(
  {
    vlan: membership,
    priorityTags: fc.boolean(),
    learning: fc.boolean(),
    sticky: fc.boolean(),
    limitAction: fc.constantFrom("evict", "stop", "drop", "shutdown"),
    recoverS: fc.nat(86_400),
    floodBroadcast: fc.boolean(),
    floodMulticast: fc.boolean(),
    floodUnknown: fc.boolean(),
    stormBroadcast: rate,
    stormMulticast: rate,
    stormUnknown: rate,
    loopGuard: fc.boolean(),
    isolated: fc.boolean(),
    groups: fc.uniqueArray(name, { maxLength: 4 }).map((names) => names.sort()),
    sources: fc.uniqueArray(binding, { maxLength: 100, selector: ({ mac }) => mac }),
    dhcpGuard: fc.boolean(),
    raGuard: fc.boolean(),
    police: rate,
    shape: rate,
    trust: fc.constantFrom("none", "pcp", "dscp"),
    priority: fc.nat(7),
    scheduler: fc.oneof(
      fc.constant("strict" as const),
      fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 8, maxLength: 8 }),
    ),
  },
  { requiredKeys: [] },
);

export const vlanPolicy: fc.Arbitrary<VlanPolicy> = fc
  .record({
    vid: fc.nat(4094),
    ageingS: fc.option(fc.integer({ min: 1, max: 86_400 }), { nil: undefined }),
    learning: fc.boolean(),
    suppressArp: fc.boolean(),
    suppressNd: fc.boolean(),
  })
  .map(({ ageingS, ...others }) => (ageingS === undefined ? others : { ...others, ageingS }));

const direction = fc.constantFrom("in" as const, "out" as const, "both" as const);

/** Of ports with these names; `to` is another one. */
export const mirror: fc.Arbitrary<NamedMirror> = fc
  .record({
    name,
    ports: fc.uniqueArray(fc.record({ port: name, direction }), { maxLength: 5, selector: ({ port }) => port }),
    vlans: fc.uniqueArray(fc.record({ vid, direction }), { maxLength: 5, selector: ({ vid }) => vid }),
    to: name,
    truncate: fc.oneof(fc.constant(0), fc.integer({ min: 14, max: 9000 })),
  })
  .filter(({ ports, vlans, to }) => ports.length + vlans.length > 0 && ports.every(({ port }) => port !== to));
