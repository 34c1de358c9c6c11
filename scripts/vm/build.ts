// The kernel "build": Debian sid's source, configured by kernel.config on top of tinyconfig, everything built in. For what
// packaged kernels lack: IOMMUFD, the VFIO character devices. Six minutes on two idle cores, once; needs what the purpose
// "kernel" of packages.ts lists.

import { copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { $ } from "bun";
import { RingyardError } from "../../src/core/errors.ts";
import { missingPackages } from "../packages.ts";
import { PrivateApt } from "./apt.ts";
import { place, withWorkFolder } from "./cache.ts";
import type { Kernel } from "./kernels.ts";
import { newest } from "./versions.ts";

const CONFIG = join(import.meta.dir, "kernel.config");
/** In the cache, beside the kernel: what its configuration was made from. */
const WANTED = "kernel.config";
const SOURCE = /^linux-source-([0-9.]+)$/;

/** Options that were asked for and are not in the resulting configuration: their dependencies are not met. */
export function refusedOptions(wanted: string, got: string): string[] {
  const lines = new Set(got.split("\n"));
  return wanted.split("\n").filter((line) => line.startsWith("CONFIG_") && !lines.has(line));
}

/** Whether a kernel was built with the options that are asked for today. */
export async function isCurrent(folder: string): Promise<boolean> {
  const built = await readFile(join(folder, WANTED), "utf8").catch(() => undefined);
  return built === (await readFile(CONFIG, "utf8"));
}

/** Builds it into a folder of `cache`. */
export async function buildKernel(cache: string, say: (line: string) => void): Promise<Kernel> {
  const missing = missingPackages("kernel").map(({ proof }) => proof);
  if (missing.length > 0) {
    throw new RingyardError("MISSING", `no kernel is built without ${missing.join(", ")}`, "npm run setup -- kernel");
  }
  return await withWorkFolder(cache, async (work) => {
    say("fetching sid's kernel source");
    const apt = await PrivateApt.open(work, ["sid"]);
    const { name } = newest(await apt.names(SOURCE), SOURCE)!;
    await apt.unpack([name], join(work, "package"));
    const source = join(work, "source");
    await mkdir(source);
    await succeed(
      "unpack",
      $`tar -xJf ${join(work, "package/usr/src", `${name}.tar.xz`)} -C ${source} --strip-components=1`,
    );

    const make = ["make", "-C", source, "-s", `-j${availableParallelism()}`];
    await succeed("configure", $`${make} tinyconfig`);
    await succeed("configure", $`./scripts/kconfig/merge_config.sh -m .config ${CONFIG}`.cwd(source));
    await succeed("configure", $`${make} olddefconfig`);
    const refused = refusedOptions(await readFile(CONFIG, "utf8"), await readFile(join(source, ".config"), "utf8"));
    if (refused.length > 0) say(`${name} does not take ${refused.join(", ")}`);

    say(`building ${name}, some minutes`);
    await succeed("build", $`nice ${make} bzImage`);
    const release = (await $`${make} kernelrelease`.quiet()).stdout.toString().trim();
    const made = join(work, "kernel");
    await mkdir(join(made, "modules"), { recursive: true });
    await rename(join(source, "arch/x86/boot/bzImage"), join(made, "vmlinuz"));
    await rename(join(source, ".config"), join(made, "config"));
    await copyFile(CONFIG, join(made, WANTED));
    const folder = join(cache, `build@${release}`);
    await rm(folder, { recursive: true, force: true });
    await place(made, folder);
    return { name: "build", version: release, folder };
  });
}

async function succeed(what: string, command: $.ShellPromise): Promise<void> {
  const { exitCode, stdout, stderr } = await command.nothrow().quiet();
  if (exitCode === 0) return;
  const output = `${stdout}${stderr}`.trim().slice(-2_000);
  throw new RingyardError("SYSTEM", `cannot ${what} the kernel`, output);
}
