// Port kinds with the options of the real ones and nothing behind them: for the parts that read URIs and configurations.

import { z } from "zod";
import type { Kinds } from "../../src/control/uri.ts";
import type { PortKind } from "../../src/ports/port.ts";

const taken = { message: "is taken", next: "choose another" };

function fakeKind(kind: string, targetForm: string, options: PortKind["options"] = {}): PortKind {
  return {
    ...{ kind, targetForm, options, summary: `${kind} ports` },
    probe: () =>
      kind === "vduse" ? { available: false, reason: "module missing", next: "modprobe vduse" } : { available: true },
    check: (target) => (target === "taken" ? taken : undefined),
    open() {
      throw new Error("a fake kind opens nothing");
    },
  };
}

const mode = z.enum(["server", "client"], { error: "expected server or client" }).default("server");
const netns = z.string().regex(/^[\w.-]+$/, "expected the name of a namespace or a PID");

export const fakeKinds: Kinds = {
  memory: fakeKind("memory", "NAME"),
  null: fakeKind("null", ""),
  tap: fakeKind("tap", "NAME", { netns }),
  vduse: fakeKind("vduse", "NAME"),
  "vhost-user": fakeKind("vhost-user", "PATH", { mode }),
};
