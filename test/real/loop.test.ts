// A loop that the kernel closes: a bridge in a namespace between two TAP ports of one switch. The switch runs in this process, so that
// its log says when it found the loop.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { SwitchApi, SwitchLog } from "../../src/control/api.ts";
import type { PortSettings } from "../../src/control/policy/named-policy.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { requirePrograms } from "../support/skip.ts";
import { requireTap } from "../support/tap.ts";
import { address, type Host, ping } from "../support/traffic.ts";
import { PATIENCE, until } from "../support/until.ts";

/** Longer than what is done while one is blocked takes: when it is tried again, the loop is back for a moment. */
const RECOVER_S = 5;
/** Within a second where the switch has a processor; here what the loop carries may take that, too. */
const FOUND_MS = 5_000;
const LIMIT_MS = 120_000 * PATIENCE;

/** A station's broadcasts make what the loop carries round: nobody has this address. */
const NOBODY = "10.78.0.99";

const suite = (label: string, body: () => void) =>
  requireTap()(label, () => requirePrograms(["ping"], "apt install iputils-ping")("ping", body));

suite("a kernel bridge that loops two ports", () => {
  const namespace = useNamespaces();
  const blockedMs: number[] = [];
  const log: SwitchLog = {
    info() {},
    error() {},
    warn: (_, message) => message.endsWith("the port is blocked") && blockedMs.push(performance.now()),
  };
  let api: SwitchApi;
  let hub: Namespace;
  let bridge: Host;
  let c: Host;
  let d: Host;

  const add = (name: string, device: string, { name: netns }: Namespace) =>
    api.addPort(parsePort(name, `tap:${device}?netns=${netns}`, kinds));
  const blocked = () => api.ports().flatMap((port) => (port.blocked === undefined ? [] : [port.name]));

  beforeAll(async () => {
    const [first, second] = [await namespace(), await namespace()];
    hub = await namespace();
    api = await createSwitch({}, log);
    await add("a", "t0", hub);
    await add("b", "t1", hub);
    await add("c", "eth0", first);
    await add("d", "eth0", second);
    [c, d] = [await address(first, 1), await address(second, 2)];
    // Under the name that hosts have, and an address that does not change with its ports.
    await hub.ip("link add eth0 address 02:00:00:00:00:03 type bridge stp_state 0 mcast_snooping 0");
    bridge = await address(hub, 3);
    for (const device of ["t0", "t1"]) await hub.ip(`link set ${device} up`);
    await hub.ip("link set t0 master eth0");
    const guarded: PortSettings = { loopGuard: true, recoverS: RECOVER_S };
    const ports = new Map([
      ["a", guarded],
      ["b", guarded],
    ]);
    await api.policy.set({ ports, vlans: [], mirrors: [] });
    await ping(c, d.ip);
    await ping(c, bridge.ip);
  }, LIMIT_MS);
  afterAll(async () => void (await api?.close()));

  test(
    "is found in time, costs one of them, and all others go on",
    async () => {
      const appearedMs = performance.now();
      await hub.ip("link set t1 master eth0");
      c.inside.spawn(["ping", "-i", "0.05", "-c", "20", NOBODY]);
      await until("a port to be blocked", () => blockedMs.length > 0);
      expect(blockedMs[0] - appearedMs).toBeLessThan(FOUND_MS * PATIENCE);
      expect(blocked()).toHaveLength(1);
      expect(["a", "b"]).toContain(blocked()[0]);
      // What went round is gone: a storm is thousands of frames in this time.
      const frames = () => api.stats().totals.rxFrames;
      await until("the storm to end", async () => {
        const before = frames();
        await Bun.sleep(200);
        return frames() - before < 200;
      });
      await ping(c, d.ip);
      await ping(d, c.ip6);
    },
    LIMIT_MS,
  );

  test(
    "while one is blocked, the other carries what is behind both",
    async () => {
      // The blocked one is tried again in between: then either may be the next.
      await until(
        "the station behind the bridge to answer",
        async () => {
          const { exitCode } = await c.inside.run(["ping", "-c", "1", "-W", "1", bridge.ip], { allowFailure: true });
          return exitCode === 0 && blocked().length === 1;
        },
        { timeoutMs: 20_000 },
      );
    },
    LIMIT_MS,
  );

  test(
    "opens again by itself when the loop is gone",
    async () => {
      await hub.ip("link set t1 nomaster");
      // Longer than a loop would take to be found; and what the last one left under way may block one of them once more.
      let closedS = api.stats().uptimeS;
      const opened = () => {
        const { uptimeS } = api.stats();
        if (blocked().length > 0) closedS = uptimeS;
        return uptimeS > closedS + 1;
      };
      await until("both ports to stay open", opened, { timeoutMs: 20_000 });
      await ping(c, bridge.ip);
      await ping(c, d.ip);
    },
    LIMIT_MS,
  );
});
