// `ringyard trace`: what would become of a frame, step by step. Nothing is sent, learned or counted.

import type { Command } from "commander";
import { addControl, addJson, ask, examples } from "./ask.ts";
import { print, printJson } from "./output.ts";
import { FRAME, type FrameOptions } from "./rule.ts";
import { frameArgs } from "./trace-frame.ts";
import { traceText } from "./trace-view.ts";

export function addTraceCommand(program: Command): void {
  const trace = program
    .command("trace")
    .description("what would become of a frame: which rules and which decision it meets; nothing is sent")
    .requiredOption("--in <port>", "the port where the frame comes in")
    .argument("<frame>", FRAME)
    .addHelpText(
      "after",
      examples(
        "ringyard trace --in vm1 'ffffffffffff 020000000001 0806'",
        "tcpdump -c 5 -w /tmp/x.pcap; ringyard trace --in web /tmp/x.pcap:1",
      ),
    );
  addJson(addControl(trace)).action(async (frame: string, { in: port, ...options }: FrameOptions) => {
    const args = await frameArgs(port, frame);
    await ask(options, async (client) => {
      const { steps } = await client.request("trace", args);
      if (options.json) printJson(steps);
      else print(traceText(steps));
    });
  });
}
