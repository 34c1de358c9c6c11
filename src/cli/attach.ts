// `ringyard attach|detach`: a port's device goes to a container or a VM, and comes back.

import type { Command } from "commander";
import type { AttachArgs } from "../control/protocol.ts";
import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";
import { type AskOptions, addControl, addJson, ask, examples } from "./ask.ts";
import { attachedText } from "./attach-view.ts";
import { print, printJson } from "./output.ts";

export interface AttachOptions extends AskOptions {
  netns?: string;
  ip?: string[];
  ifname?: string;
  vm?: boolean;
}

export function addAttachCommands(program: Command): void {
  const collect = (word: string, words: string[] = []) => [...words, word];
  const attach = program
    .command("attach")
    .description("give a port's device to a container or a VM")
    .argument("<port>")
    .option("--netns <name|pid>", "to a container: its network namespace, or the PID of a process in it")
    .option("--ip <cidr>", "an address in there, such as 10.0.0.2/24 (repeat for more)", collect)
    .option("--ifname <name>", "name of the device in there (default: eth0)")
    .option("--vm", "to a VM: prints the vhost-vdpa device, and what QEMU has to be told")
    .addHelpText(
      "after",
      examples("ringyard attach web --netns web --ip 10.0.0.2/24", "ringyard attach vm1 --vm").concat(
        "\n\nPorts of kind vduse are attached; the driver of every other port comes by itself.",
        "\nWhat is attached outlives the switch: ringyard up adopts it, ringyard down --remove takes it away.",
      ),
    );
  addJson(addControl(attach)).action((port: string, options: AttachOptions) => {
    const args = attachArgs(port, options);
    return ask(options, async (client) => {
      const attached = await client.request("port.attach", args);
      if (options.json) printJson(attached);
      else print(attachedText(port, attached, args.ip));
    });
  });
  const detach = program
    .command("detach")
    .description("take a port's device away from its container or VM; the port stays")
    .argument("<port>");
  addJson(addControl(detach)).action((name: string, options: AskOptions) =>
    ask(options, async (client) => {
      const { port } = await client.request("port.detach", { name });
      if (options.json) printJson(port);
    }),
  );
}

/** What was typed as a request; throws BAD_OPTION. Names and addresses are checked by the switch. */
function attachArgs(name: string, { netns, ip, ifname, vm }: AttachOptions): AttachArgs {
  if (vm && netns !== undefined)
    throw new RingyardError("BAD_OPTION", "--netns and --vm exclude each other", "attach a port to one of them");
  if (vm && (ip !== undefined || ifname !== undefined)) {
    const option = ip === undefined ? "--ifname" : "--ip";
    throw new RingyardError("BAD_OPTION", `${option} goes with --netns`, "a VM names and addresses its device itself");
  }
  if (vm) return { name, to: "vm" };
  if (netns !== undefined) {
    return { name, to: "netns", netns, ...(ip !== undefined && { ip }), ...(ifname !== undefined && { ifname }) };
  }
  const command = `ringyard attach ${word(name)}`;
  const next = `${command} --netns NAME, or ${command} --vm`;
  throw new RingyardError("BAD_OPTION", "attach needs --netns or --vm", next);
}
