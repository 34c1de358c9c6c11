// The port kind `tap:NAME`: a network device of the kernel's, for containers (in their namespace) and for the host itself.
//
//   tap:web0?netns=blue      made in namespace /run/netns/blue        (or netns=PID, netns=/a/path)
//   tap:web0                 made here; `ip link set web0 netns …` moves it while the port runs
//
// What a port does with its device is port.ts's. Control thread only.

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import { DEVICE_NAME } from "../link/link.ts";
import type {
  OptionProblem,
  Port,
  PortHost,
  PortKind,
  PortOptions,
  PortProbe,
  PortSpec,
  TargetProblem,
} from "../port.ts";
import { tryTap } from "./device.ts";
import { TAP_MTU_MAX } from "./failures.ts";
import { TapPort } from "./port.ts";

const netns = z.string().regex(/^(\/.+|(?!\.{1,2}$)[^/\0]{1,255})$/, {
  error: "expected the name of a network namespace, a PID or an absolute path",
});

export const tap: PortKind = {
  kind: "tap",
  summary: "a TAP device, for a container or the host",
  targetForm: "NAME",
  options: { netns: netns.optional() },
  check,
  checkOptions,
  probe,
  open,
};

function probe(): PortProbe {
  try {
    tryTap();
    return { available: true };
  } catch (error) {
    if (error instanceof RingyardError) return { available: false, reason: error.message, next: error.next };
    throw error;
  }
}

function checkOptions({ mtu = 0 }: PortOptions): OptionProblem | undefined {
  if (mtu <= TAP_MTU_MAX) return undefined;
  return { option: "mtu", message: `mtu ${mtu} is too large for a TAP device`, next: `use at most ${TAP_MTU_MAX}` };
}

function check(target: string): TargetProblem | undefined {
  if (DEVICE_NAME.test(target)) return undefined;
  const message = `${quoted(target.slice(0, 40))} is no name for a network device`;
  return { message, next: "use 1 to 15 letters, digits, - or _" };
}

async function open(spec: PortSpec, host: PortHost): Promise<Port> {
  const wrong = check(spec.target);
  if (wrong !== undefined) throw new RingyardError("BAD_URI", `tap ${wrong.message}`, wrong.next);
  const port = new TapPort(spec, host);
  try {
    await port.start();
  } catch (error) {
    await port.close();
    throw error;
  }
  return port;
}
