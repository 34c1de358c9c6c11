// Carries out the actions of a difference, in order, and undoes them in reverse when one fails: afterwards the switch is
// either what was asked for or what it was. Control thread; one caller at a time (`running.ts` sees to it).

import { errorLine, RingyardError } from "../core/errors.ts";
import type { PortChanges, SwitchApi } from "./api.ts";
import type { PortConfig } from "./config.ts";
import type { Action } from "./diff.ts";

type Undo = { what: string; run: () => Promise<void> | void };

/** Does all of the actions or none; throws the first failure, with what could not be put back. */
export async function applyActions(api: SwitchApi, actions: readonly Action[]): Promise<void> {
  const undo: Undo[] = [];
  for (const action of actions) {
    try {
      await applyAction(api, action, undo);
    } catch (error) {
      const lost = await unwind(undo);
      if (lost.length === 0) throw error;
      const code = error instanceof RingyardError ? error.code : "SYSTEM";
      throw new RingyardError(code, `${errorLine(error)}; and could not put back ${lost.join("; ")}`);
    }
  }
}

/** Adds a port with its settings, or leaves none. */
export async function addPort(api: SwitchApi, { spec, link, macLimit }: PortConfig): Promise<void> {
  try {
    await api.addPort({ ...spec, options: { ...spec.options, link } });
  } catch (error) {
    throw named(spec.name, error);
  }
  if (macLimit === undefined) return;
  try {
    await api.setPort(spec.name, { macLimit });
  } catch (error) {
    await takeBack(api, spec.name);
    throw named(spec.name, error);
  }
}

/** Removes a port that was added a moment ago; a device that it found in use stays with its container or VM. */
function takeBack(api: SwitchApi, name: string): Promise<void> {
  return api.removePort(name, { keep: true });
}

/** A kind speaks of its device or socket; among many ports the name has to be there too. */
function named(name: string, error: unknown): unknown {
  if (!(error instanceof RingyardError) || error.message.startsWith(`port ${name}`)) return error;
  return new RingyardError(error.code, `port ${name}: ${error.message}`, error.next);
}

async function applyAction(api: SwitchApi, action: Action, undo: Undo[]): Promise<void> {
  switch (action.do) {
    case "remove": {
      const { port } = action;
      await api.removePort(port.spec.name);
      undo.push({ what: `port ${port.spec.name}`, run: () => addPort(api, port) });
      return;
    }
    case "add": {
      const { name } = action.port.spec;
      await addPort(api, action.port);
      undo.push({ what: `the absence of port ${name}`, run: () => takeBack(api, name) });
      return;
    }
    case "policy": {
      const { before, after } = action;
      await api.policy.set(after);
      undo.push({ what: "the policies", run: () => api.policy.set(before) });
      return;
    }
    case "rules": {
      const { before, after } = action;
      await api.rules.put(after, "wait");
      undo.push({ what: "the rules", run: () => api.rules.put(before, "wait") });
      return;
    }
    case "set":
      return applySet(api, action, undo);
    case "configure":
      api.configure(action.after);
      undo.push({ what: "the settings", run: () => api.configure(action.before) });
  }
}

async function applySet(api: SwitchApi, action: Extract<Action, { do: "set" }>, undo: Undo[]): Promise<void> {
  const { before, after, changes } = action;
  const { name } = after.spec;
  try {
    await api.setPort(name, changes);
  } catch (error) {
    // A kind that cannot change its MTU under a driver says so: then the port is made anew.
    if (!(error instanceof RingyardError && error.code === "UNSUPPORTED" && changes.mtu !== undefined))
      throw named(name, error);
    await applyAction(api, { do: "remove", port: before }, undo);
    await applyAction(api, { do: "add", port: after }, undo);
    return;
  }
  const back: PortChanges = {};
  if (changes.link !== undefined) back.link = before.link;
  if (changes.mtu !== undefined) back.mtu = before.spec.options.mtu ?? null;
  if (changes.macLimit !== undefined) back.macLimit = before.macLimit ?? api.settings.macLimit;
  undo.push({ what: `port ${name}`, run: async () => void (await api.setPort(name, back)) });
}

/** Runs everything, last one first; returns what failed. */
async function unwind(undo: Undo[]): Promise<string[]> {
  const lost: string[] = [];
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    try {
      await step.run();
    } catch (error) {
      lost.push(`${step.what} (${errorLine(error).replace(`${step.what}: `, "")})`);
    }
  }
  return lost;
}
