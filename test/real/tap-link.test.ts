// An administrator's `port set NAME link=down` is what the container sees: its device has no carrier, until the link is up.

import { expect, test } from "bun:test";
import { useNamespaces } from "../support/netns.ts";
import { useSwitch } from "../support/switch.ts";
import { links, requireTap } from "../support/tap.ts";

requireTap()("a TAP port", () => {
  const namespace = useNamespaces();
  const startSwitch = useSwitch();

  test("shows the container that its link went down, and came up again", async () => {
    const { name } = await namespace();
    const ringyard = await startSwitch({ a: `tap:eth0?netns=${name}` });
    const carrier = () =>
      links(name)
        .find(({ ifname }) => ifname === "eth0")
        ?.flags.includes("LOWER_UP");
    expect(carrier()).toBe(true);
    await ringyard.ctl("port", "set", "a", "link=down");
    expect(carrier()).toBe(false);
    await ringyard.ctl("port", "set", "a", "link=up");
    expect(carrier()).toBe(true);
  });
});
