// Carries out the actions of a difference, in order, and undoes them in reverse when one fails: afterwards the switch is
// either what was asked for or what it was. A port that had gone by then is made anew, with the addresses that were pinned to it; that it is not the
// same one is said. Control thread; one caller at a time (`running.ts` sees to it).

import { errorLine, RingyardError } from "../core/errors.ts";
import { othersTurn, turnIsOver } from "../core/turns.ts";
import type { FdbEntry, PortChanges, SwitchApi } from "./api.ts";
import type { PortConfig } from "./config.ts";
import type { Action } from "./diff.ts";
import { type Undo, UndoneError, unwind } from "./undo.ts";

/** Does all of the actions or none; throws the first failure, as UndoneError where not all is the same as before. */
export async function applyActions(api: SwitchApi, actions: readonly Action[]): Promise<void> {
  const undo: Undo[] = [];
  for (const action of actions) {
    try {
      await applyAction(api, action, undo);
    } catch (error) {
      const { anew, lost } = await unwind(undo);
      if (anew.length + lost.length === 0) throw error;
      throw new UndoneError(error, anew, lost);
    }
  }
}

/** Adds a port with its settings, or leaves none. */
async function addPort(api: SwitchApi, { spec, link, macLimit }: PortConfig): Promise<void> {
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

/** Addresses that somebody pinned to a port. */
async function pinnedTo(api: SwitchApi, name: string): Promise<FdbEntry[]> {
  const pinned: FdbEntry[] = [];
  for (const piece of api.fdbRows(name).entries.pieces) {
    for (const entry of piece) if (entry.static) pinned.push(entry);
    if (turnIsOver()) await othersTurn();
  }
  return pinned;
}

async function addAgain(api: SwitchApi, port: PortConfig, pinned: readonly FdbEntry[]): Promise<void> {
  const { name } = port.spec;
  await addPort(api, port);
  for (const { mac, vlan } of pinned) {
    try {
      api.fdbAdd(mac, name, vlan, true);
    } catch (error) {
      throw new RingyardError("SYSTEM", `its pinned address ${mac}: ${errorLine(error)}`);
    }
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
      const { name } = port.spec;
      const pinned = await pinnedTo(api, name);
      await api.removePort(name);
      undo.push({ what: `port ${name}`, run: () => addAgain(api, port, pinned), anew: name });
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
  const { before, after, changes, running } = action;
  const { name } = after.spec;
  try {
    await api.setPort(name, changes);
  } catch (error) {
    // A kind that cannot change its MTU under a driver says so: then the port is made anew.
    const isMade = error instanceof RingyardError && error.code === "UNSUPPORTED" && changes.mtu !== undefined;
    if (running || !isMade) throw named(name, error);
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
