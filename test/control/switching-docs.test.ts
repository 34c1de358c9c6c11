// What docs/SWITCHING.md says that one can write is what the switch reads, and every key and drop reason is in it.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "../../src/cli/port.ts";
import { parseConfig } from "../../src/control/config.ts";
import { changeWords, mustRead } from "../../src/control/policy/change-words.ts";
import { MIRROR_KEYS } from "../../src/control/policy/mirror-policy.ts";
import { joinPieces } from "../../src/control/policy/policy-words.ts";
import { PORT_POLICY_KEYS, readPortPolicy } from "../../src/control/policy/port-policy.ts";
import { VLAN_POLICY_KEYS } from "../../src/control/policy/vlan-policy.ts";
import { kinds } from "../../src/control/wiring.ts";

const text = readFileSync(join(import.meta.dir, "../../docs/SWITCHING.md"), "utf8");

test("configurations", () => {
  const blocks = [...text.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, block]) => parseConfig(block, "doc", kinds));
  expect(blocks.length).toBeGreaterThan(2);
  expect(blocks[0].ports.get("vm1")?.policy).toMatchObject({ isolated: true, vlan: { vid: 10 } });
});

test("settings on command lines", async () => {
  const commands = [...text.matchAll(/^ {4}ringyard port (?:set|add) (.+)$/gm)].map(([, words]) => words);
  expect(commands.length).toBeGreaterThan(3);
  for (const command of commands) {
    const words = [...command.matchAll(/([a-z0-9-]+)=('[^']*'|\S*)/g)].map(
      ([, key, value]) => `${key}=${value.replaceAll("'", "")}`,
    );
    const { policy = [] } = await readSettings(words);
    mustRead(command, readPortPolicy(changeWords({}, joinPieces(policy))));
  }
});

test("all keys", () => {
  const tables = text.slice(text.indexOf("## All keys"), text.indexOf("`[vlans.0]`"));
  const cells = [...tables.matchAll(/^\| ([^|]+)/gm)].flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)]);
  const named = cells.map(([, key]) => key).sort();
  expect(named).toEqual([...PORT_POLICY_KEYS, "mac-limit", ...VLAN_POLICY_KEYS, ...MIRROR_KEYS].sort());
});
