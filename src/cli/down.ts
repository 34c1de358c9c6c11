// `ringyard down [--remove]`: the running switch ends as on SIGTERM. What containers and VMs hold on to stays in the kernel
// for the next `ringyard up`; --remove takes it away too, also what a switch left that was killed.

import type { Command } from "commander";
import type { SwitchEnd } from "../control/api.ts";
import type { ControlClient } from "../control/client.ts";
import { errorLine, RingyardError } from "../core/errors.ts";
import type { Leftovers } from "../ports/port.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { EXIT, reportError } from "./exit.ts";
import { print, printJson } from "./output.ts";

interface DownOptions extends AskOptions {
  remove?: boolean;
}

/** What `down` led to: of the switch, where one ran, and of what earlier ones left. */
interface Down extends SwitchEnd, Leftovers {}

/** The switch hangs up at once when it has answered. */
const HANG_UP_MS = 10_000;

export function addDownCommand(program: Command): void {
  const down = program
    .command("down")
    .description("end the running switch; what is attached stays for the next one")
    .option("--remove", "take away what is attached too, also what a killed switch left")
    .addHelpText(
      "after",
      examples("ringyard down", "ringyard down --remove").concat("\n\nReturns when the switch has ended."),
    );
  addJson(addControl(down)).action(async (options: DownOptions) => {
    const result = options.remove ? await takeAway(options) : { ...NOTHING, ...(await end(options, false)) };
    const { failed, ...done } = result;
    if (options.json) printJson(result);
    else print(downText(done));
    for (const { name, reason } of failed) reportError(new RingyardError("SYSTEM", `${name}: ${reason}`));
    if (failed.length > 0) process.exitCode = EXIT.FAILED;
  });
}

const NOTHING: Down = { kept: [], failed: [], removed: [], served: [] };

/** Asks the switch to end, and waits until it has. */
function end(options: AskOptions, remove: boolean): Promise<SwitchEnd> {
  return ask(options, async (client) => {
    const result = await client.request("shutdown", { remove }).catch((error) => {
      throw error instanceof RingyardError && error.code === "UNREACHABLE" ? cutShort(error) : error;
    });
    await hungUp(client);
    return result;
  });
}

async function hungUp(client: ControlClient): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, HANG_UP_MS, true);
  });
  const tooLate = await Promise.race([client.ended().then(() => false), late]);
  clearTimeout(timer);
  if (tooLate) throw new RingyardError("BUSY", "the switch has closed its ports but does not end", "send it SIGKILL");
}

/** Ends the switch, if one runs, and removes what earlier ones left. */
async function takeAway(options: AskOptions): Promise<Down> {
  let ended: SwitchEnd = NOTHING;
  try {
    ended = await end(options, true);
  } catch (error) {
    if (!(error instanceof RingyardError && error.code === "UNREACHABLE")) throw error;
  }
  const [{ removeLeftovers }, { kinds }] = await Promise.all([
    import("../control/leftovers.ts"),
    import("../control/wiring.ts"),
  ]);
  const left = await removeLeftovers(kinds);
  return { ...left, kept: ended.kept, failed: [...ended.failed, ...left.failed] };
}

function cutShort(error: unknown): RingyardError {
  const next = "ringyard down --remove takes away what is left, ringyard up goes on with it";
  return new RingyardError("SYSTEM", `the switch ended before it was done (${errorLine(error)})`, next);
}

function downText({ kept, removed, served }: Omit<Down, "failed">): string {
  const lines: string[] = [];
  if (kept.length > 0) {
    const next = "ringyard up goes on with it, ringyard down --remove takes it away";
    lines.push(`stays attached: ${kept.join(", ")} (${next})`);
  }
  if (removed.length > 0) lines.push(`removed what was left: ${removed.join(", ")}`);
  if (served.length > 0) lines.push(`another process serves, left alone: ${served.join(", ")}`);
  return lines.map((line) => `${line}\n`).join("");
}
