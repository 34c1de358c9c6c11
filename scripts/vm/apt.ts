// Debian packages of any release, fetched and unpacked beside the system: nothing is installed. They come from the mirror that the
// machine's own apt is set to, with its proxy and its trust; only the suite differs, by a private list of sources and a private
// state folder that goes when the packages are there.
//
//   const apt = await PrivateApt.open(folder, ["sid"]);
//   await apt.unpack(["linux-modules-7.2…"], "unpacked");

import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "bun";
import { RingyardError } from "../../src/core/errors.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** apt's own names of what describes a source; the list of packages need not have been fetched. */
const FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT)";

export interface Mirror {
  /** Where releases are: bookworm, trixie, sid. */
  readonly archive: string;
  /** Where their security suites are. */
  readonly security: string;
}

/**
 * Finds Debian's mirror among the sources of apt, given as lines of `URI SUITE COMPONENT`; other vendors' repositories may
 * use the release's name as well, so the one that also has its `-updates` comes first. Undefined where there is none.
 */
export function findMirror(lines: string, codename: string): Mirror | undefined {
  const sources = lines
    .split("\n")
    .map((line) => line.trim().split(" "))
    .filter(([uri, suite, component]) => uri !== "" && suite !== undefined && component === "main");
  const isSecurity = (suite: string) => suite.endsWith("-security") || suite.endsWith("/updates");
  const archive =
    sources.find(([, suite]) => suite === `${codename}-updates`) ??
    sources.find(([uri, suite]) => suite === codename && /\/debian\/?$/.test(uri)) ??
    sources.find(([uri, suite]) => /\/debian\/?$/.test(uri) && !isSecurity(suite)) ??
    sources.find(([, suite]) => suite === codename);
  if (archive === undefined) return undefined;
  const security = sources.find(([uri, suite]) => isSecurity(suite) && /debian/.test(uri));
  return { archive: archive[0], security: security?.[0] ?? archive[0].replace(/\/debian\/?$/, "/debian-security/") };
}

/** The mirror of this machine's own apt. */
export async function machineMirror(): Promise<Mirror> {
  const listed = await $`apt-get indextargets --format ${FORMAT} ${"Created-By: Packages"}`.nothrow().quiet();
  const release = existsSync("/etc/os-release") ? await Bun.file("/etc/os-release").text() : "";
  const codename = /^VERSION_CODENAME=(\S+)/m.exec(release)?.[1] ?? "stable";
  const mirror = findMirror(listed.stdout.toString(), codename);
  if (mirror !== undefined) return mirror;
  throw new RingyardError("MISSING", "no Debian mirror among apt's sources", "run this on a Debian machine");
}

/** A line of a list of sources. Security suites are recognised by their name. */
export function sourceLine({ archive, security }: Mirror, suite: string, keyring: string | undefined): string {
  const trust = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  return `deb ${trust}${suite.endsWith("-security") ? security : archive} ${suite} main`;
}

export function debianKeyring(): string | undefined {
  return existsSync(KEYRING) ? KEYRING : undefined;
}

export class PrivateApt {
  /** Use `open`. */
  private constructor(
    private readonly options: readonly string[],
    /** What `apt-get update` complained of: shown when a package is not found. */
    private readonly complaint: string,
  ) {}

  /** Fetches the lists of packages of these suites into `folder`, which must be there. */
  static async open(folder: string, suites: readonly string[]): Promise<PrivateApt> {
    const mirror = await machineMirror();
    const state = join(folder, "apt");
    await mkdir(join(state, "lists/partial"), { recursive: true });
    await mkdir(join(state, "archives/partial"), { recursive: true });
    const keyring = debianKeyring();
    await writeFile(
      join(state, "sources.list"),
      suites.map((suite) => `${sourceLine(mirror, suite, keyring)}\n`).join(""),
    );
    const options = [
      `Dir::Etc::sourcelist=${state}/sources.list`,
      "Dir::Etc::sourceparts=-",
      `Dir::State::lists=${state}/lists`,
      `Dir::Cache=${state}`,
      "Acquire::Languages=none",
      "Acquire::Retries=3",
      // The cache may be where apt's own user cannot go.
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    const updated = await $`apt-get ${options} update`.env(plainEnv()).nothrow().quiet();
    return new PrivateApt(options, updated.exitCode === 0 ? "" : updated.stderr.toString().trim());
  }

  /** The names of packages that match. */
  async names(pattern: RegExp): Promise<string[]> {
    const found = await $`apt-cache ${this.options} pkgnames`.env(plainEnv()).nothrow().quiet();
    const names = found.stdout.toString().split("\n");
    const matching = names.filter((name) => pattern.test(name));
    if (matching.length > 0) return matching;
    throw new RingyardError("MISSING", `no package ${pattern.source} on apt's mirror`, this.complaint || undefined);
  }

  /** Downloads packages and unpacks all of them into one folder. */
  async unpack(names: readonly string[], folder: string): Promise<void> {
    const debs = join(folder, ".debs");
    await mkdir(debs, { recursive: true });
    const fetched = await $`apt-get ${this.options} download -q ${names}`.cwd(debs).env(plainEnv()).nothrow().quiet();
    if (fetched.exitCode !== 0) {
      throw new RingyardError("UNREACHABLE", `cannot fetch ${names.join(", ")}`, fetched.stderr.toString().trim());
    }
    for (const deb of await readdir(debs)) await $`dpkg -x ${join(debs, deb)} ${folder}`.quiet();
    await $`rm -r ${debs}`;
  }
}

/** apt's messages in the language that they are looked through in. */
function plainEnv(): Record<string, string | undefined> {
  return { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
}
