// Whether policies can be: whoever gives them, what cannot be written down and read back is refused, in the words of the configuration.
// So there is one place that knows what is wrong (port-policy.ts, vlan-policy.ts, mirror-policy.ts). Pure.

import { RingyardError } from "../../core/errors.ts";
import { word } from "../../core/quote.ts";
import { mustRead } from "./change-words.ts";
import { mirrorWords, readMirror } from "./mirror-policy.ts";
import type { NamedPolicy } from "./named-policy.ts";
import { firstTwice } from "./policy-values.ts";
import { portPolicyWords, readPortPolicy } from "./port-policy.ts";
import { readVlanPolicy, vlanId, vlanPolicyWords } from "./vlan-policy.ts";

/** Throws BAD_OPTION with one line. What a port had `before` is known to be well: a thousand bindings are not read again and again. */
export function checkPolicy({ ports, vlans, mirrors }: NamedPolicy, before: NamedPolicy): void {
  for (const [name, settings] of ports) {
    if (before.ports.get(name) === settings) continue;
    mustRead(`port ${word(name)}`, readPortPolicy(portPolicyWords(settings)));
  }
  for (const vlan of vlans) {
    const what = `vlan ${vlan.vid}`;
    if (!vlanId.safeParse(vlan.vid).success)
      throw new RingyardError("BAD_OPTION", `${what}: no id of a VLAN`, "write 0 to 4094");
    mustRead(what, readVlanPolicy(vlan.vid, vlanPolicyWords(vlan)));
  }
  for (const mirror of mirrors) mustRead(`mirror ${word(mirror.name)}`, readMirror(mirror.name, mirrorWords(mirror)));
  refuseTwice(
    "vlan",
    vlans.map(({ vid }) => vid),
  );
  refuseTwice(
    "mirror",
    mirrors.map(({ name }) => name),
  );
}

function refuseTwice(what: string, names: readonly (string | number)[]): void {
  const twice = firstTwice(names);
  if (twice !== undefined)
    throw new RingyardError("BAD_OPTION", `${what} ${word(String(twice))} is there twice`, "leave one out");
}
