// What policies say of the fdb, and the fdb does not learn from a worker's plan: ageing of VLANs, and which addresses have no place any
// more. Workers obey a policy before it comes here, so nothing is learned again that is taken away.
//
//   BridgePolicy --all workers have it--> changed(): ageing per VLAN | learned addresses of a port in VLANs that it left: forgotten
//
// Static addresses stay in the VLAN in which somebody put them, though no frame may meet them there. Control thread.

import { takingTurns } from "../../core/turns.ts";
import { type BridgePolicy, hasVlans, NO_POLICY, type PortPolicy, VID_DEFAULT } from "../../dataplane/bridge/policy.ts";
import { isMember, Vlans } from "../../dataplane/bridge/vlans.ts";
import type { Fdb } from "../../dataplane/fdb-layout.ts";
import { fdbFlushSteps } from "../../dataplane/fdb-steps.ts";
import { fdbSetAgeing } from "../../dataplane/fdb-table.ts";

export class FdbPolicy {
  private policy = NO_POLICY;
  /** What it says of ports, by index: asked for each address that is shown. */
  private ports: ReadonlyMap<number, PortPolicy> = new Map();
  /** Who is in which VLAN, as text to compare. */
  private memberships = membershipsOf(NO_POLICY);
  private vlans = new Vlans(NO_POLICY);

  constructor(
    private readonly fdb: Fdb,
    /** Where a VLAN has no ageing time of its own. */
    private ageingS: number,
  ) {}

  setAgeing(ageingS: number): void {
    this.ageingS = ageingS;
    this.putAgeing();
  }

  /** All workers obey this one. What it says is known at once; resolves when addresses without a place are forgotten. */
  async changed(policy: BridgePolicy): Promise<void> {
    this.policy = policy;
    this.ports = new Map(policy.ports.map((said) => [said.port, said]));
    this.putAgeing();
    const memberships = membershipsOf(policy);
    if (memberships === this.memberships) return;
    this.memberships = memberships;
    this.vlans = new Vlans(policy);
    await takingTurns(fdbFlushSteps(this.fdb, { where: (port, vid) => !this.belongs(port, vid) }));
  }

  private putAgeing(): void {
    const own = this.policy.vlans.flatMap(({ vid, ageingS }) =>
      ageingS === undefined ? [] : [[vid, ageingS] as const],
    );
    fdbSetAgeing(this.fdb, this.ageingS, new Map(own));
  }

  /** Whether frames belong to VLANs. */
  get hasVlans(): boolean {
    return hasVlans(this.policy);
  }

  /** Whether a port's frames may be of this VLAN; 0 where there are none. */
  belongs(port: number, vid: number): boolean {
    return this.hasVlans ? vid > 0 && isMember(this.vlans, vid, port) : vid === 0;
  }

  isSticky(port: number): boolean {
    return this.settings(port)?.sticky ?? false;
  }

  /** The VLAN of a port's untagged frames, 0 where there are no VLANs; undefined: the port takes none. */
  vlanOf(port: number): number | undefined {
    if (!this.hasVlans) return 0;
    const vlan = this.settings(port)?.vlan;
    if (vlan === undefined) return VID_DEFAULT;
    if (vlan.mode !== "trunk") return vlan.vid;
    return vlan.native === 0 ? undefined : vlan.native;
  }

  private settings(port: number) {
    return this.ports.get(port);
  }
}

function membershipsOf({ ports }: BridgePolicy): string {
  const said = ports.flatMap(({ port, vlan }) => (vlan === undefined ? [] : [{ port, vlan }]));
  return JSON.stringify(said.sort((a, b) => a.port - b.port));
}
