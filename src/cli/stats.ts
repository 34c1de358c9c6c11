// `ringyard stats [--watch]`: counters of all ports and workers; with --watch, rates between two readings a second apart.

import type { Command } from "commander";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { type Reading, ratesText, statsText } from "./stats-view.ts";

interface StatsOptions extends AskOptions {
  watch?: boolean;
}

const EVERY_MS = 1000;
/** Cursor home, then erase to the end of the screen (ECMA-48, CUP and ED): redraws without flicker. */
const REDRAW = "\x1b[H\x1b[J";

export function addStatsCommand(program: Command): void {
  const stats = program
    .command("stats")
    .description("counters of ports and workers")
    .option("--watch", "again each second, with rates, until Ctrl-C")
    .addHelpText("after", examples("ringyard stats", "ringyard stats --watch", "ringyard stats --json | jq .totals"));
  addJson(addControl(stats)).action((options: StatsOptions) => (options.watch ? watch(options) : once(options)));
}

function once(options: StatsOptions): Promise<void> {
  return ask(options, async (client) => {
    const stats = await client.request("stats", {});
    if (options.json) printJson(stats);
    else print(statsText(stats));
  });
}

/** On a terminal each reading replaces the one before; elsewhere they follow one another, as JSON one to a line. */
function watch(options: StatsOptions): Promise<void> {
  return ask(options, async (client) => {
    const redraw = process.stdout.isTTY ? REDRAW : "";
    let before: Reading | null = null;
    for (;;) {
      const now: Reading = { atMs: performance.now(), stats: await client.request("stats", {}) };
      if (options.json) print(`${JSON.stringify(now.stats)}\n`);
      else print(`${redraw}${ratesText(before, now)}\n`);
      before = now;
      await Bun.sleep(EVERY_MS);
    }
  });
}
