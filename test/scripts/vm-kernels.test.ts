// Which packages a virtual machine's kernel is made of, from which mirror, and in which order its modules load.

import { describe, expect, test } from "bun:test";
import { findMirror, sourceLine } from "../../scripts/vm/apt.ts";
import { refusedOptions } from "../../scripts/vm/build.ts";
import { choosePackages } from "../../scripts/vm/kernels.ts";
import { dependencies, loadOrder, moduleName } from "../../scripts/vm/modules.ts";
import { newest } from "../../scripts/vm/versions.ts";

describe("packages", () => {
  test("the newest 6.12 is taken by its numbers, and no flavour of it", () => {
    const names = [
      "linux-image-6.12.99+deb12-amd64-unsigned",
      "linux-image-6.12.107+deb12-amd64-unsigned",
      "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
      "linux-image-6.12.117+deb12-rt-amd64-unsigned",
      "linux-image-6.12.117+deb12-amd64-dbg",
      "linux-image-6.1.0-56-amd64-unsigned",
    ];
    const version = "6.12.107+deb12-amd64";
    expect(choosePackages("6.12", names)).toEqual({ version, packages: [`linux-image-${version}-unsigned`] });
  });

  test("sid's kernel comes in parts", () => {
    const names = [
      "linux-binary-unsigned-7.9.1+deb14-amd64",
      "linux-binary-unsigned-7.10.0+deb14-amd64",
      "linux-binary-unsigned-7.11.0+deb14-rt-amd64",
      "linux-binary-7.10.0+deb14-amd64",
    ];
    const version = "7.10.0+deb14-amd64";
    const packages = ["binary-unsigned", "modules", "base"].map((part) => `linux-${part}-${version}`);
    expect(choosePackages("sid", names)).toEqual({ version, packages });
    expect(choosePackages("sid", [])).toBeUndefined();
  });

  test("versions are compared number by number", () => {
    const versions = ["v1.9", "v1.10", "v1.10.1", "other", "v1.2"];
    expect(newest(versions, /^v(.+)$/)).toEqual({ name: "v1.10.1", version: "1.10.1" });
    expect(newest(["other"], /^v(.+)$/)).toBeUndefined();
  });
});

describe("the mirror", () => {
  const vendor = "https://packages.example.org/debian/ bookworm main";
  const archive = "http://mirror.example.org/debian/";

  test("is Debian's, not that of a vendor who uses the release's name", () => {
    const lines = [vendor, `${archive} bookworm main`, `${archive} bookworm-updates main`].join("\n");
    expect(findMirror(lines, "bookworm")?.archive).toBe(archive);
  });

  test("has its security suites where apt has them, or beside it", () => {
    const security = "http://mirror.example.org/security/debian/";
    const lines = `${archive} bookworm main\n${security} bookworm-security main\n`;
    expect(findMirror(lines, "bookworm")).toEqual({ archive, security });
    const alone = findMirror(`${archive} trixie main\n`, "trixie");
    expect(alone).toEqual({ archive, security: "http://mirror.example.org/debian-security/" });
  });

  test("is none where there is no Debian", () => {
    expect(findMirror("http://mirror.example.org/ubuntu/ noble main\n", "bookworm")).toBeUndefined();
    expect(findMirror("", "bookworm")).toBeUndefined();
  });

  test("becomes a line for each suite", () => {
    const mirror = { archive: "http://a/debian/", security: "http://a/security/" };
    expect(sourceLine(mirror, "sid", undefined)).toBe("deb http://a/debian/ sid main");
    expect(sourceLine(mirror, "x-security", "/k.gpg")).toBe(
      "deb [signed-by=/k.gpg] http://a/security/ x-security main",
    );
  });
});

describe("modules", () => {
  const module = (depends: string) => Buffer.from(`ELF\0license=GPL\0depends=${depends}\0retpoline=Y\0`, "latin1");

  test("name what they depend on", () => {
    expect(dependencies(module("vdpa,vhost-iotlb"))).toEqual(["vdpa", "vhost_iotlb"]);
    expect(dependencies(module(""))).toEqual([]);
    expect(dependencies(Buffer.from("no module"))).toEqual([]);
    expect(moduleName("vfio-pci-core.ko.xz")).toBe("vfio_pci_core");
  });

  test("load after what they depend on, once, and what is built in is left out", async () => {
    const files: Record<string, string> = {
      vduse: "vdpa,vhost_iotlb",
      vhost_iotlb: "",
      vdpa: "",
      vhost_vdpa: "vhost,vdpa",
    };
    const order = await loadOrder(["vduse", "vhost-vdpa", "tun"], async (name) =>
      files[name] === undefined ? undefined : module(files[name]),
    );
    expect([...order.keys()]).toEqual(["vdpa", "vhost_iotlb", "vduse", "vhost_vdpa"]);
  });
});

test("options that a kernel does not take are named", () => {
  const wanted = "# a comment\nCONFIG_VDPA=y\nCONFIG_GONE=y\n";
  expect(refusedOptions(wanted, "CONFIG_VDPA=y\n# CONFIG_GONE is not set\n")).toEqual(["CONFIG_GONE=y"]);
});
