// The system packages that tests and benches use, as data: what is there is known by a `proof` (a program, or a file), not
// by a package manager, so that machines without apt are understood as well. The switch itself needs none of them.
// Read by scripts/setup.ts; pure.

export type Purpose = "demo" | "test" | "bench" | "kernel";

export const PURPOSES: readonly Purpose[] = ["demo", "test", "bench", "kernel"];

export interface SystemPackage {
  /** Debian's name, or a pattern where the name carries a version of its own (`librte-net-vhost23`). */
  readonly name: string | RegExp;
  /** A program in PATH, or (with a slash) a file as a glob. */
  readonly proof: string;
  /** What it is for, as a person reads it. */
  readonly why: string;
  readonly purposes: readonly Purpose[];
}

export const systemPackages: readonly SystemPackage[] = [
  { name: "iproute2", proof: "ip", why: "network namespaces, tc's filters", purposes: ["demo", "test", "bench"] },
  { name: "iputils-ping", proof: "ping", why: "pings between ports", purposes: ["demo", "test", "bench"] },
  { name: "iperf3", proof: "iperf3", why: "TCP transfers between ports", purposes: ["demo", "test", "bench"] },
  { name: "procps", proof: "pgrep", why: "programs that were left behind", purposes: ["test"] },
  { name: "tcpdump", proof: "tcpdump", why: "frames as a receiver sees them", purposes: ["test"] },
  { name: "tshark", proof: "tshark", why: "captures as Wireshark reads them", purposes: ["test"] },
  { name: "ethtool", proof: "ethtool", why: "offloads on and off", purposes: ["test"] },
  { name: "dnsmasq-base", proof: "dnsmasq", why: "a server that guarded ports keep quiet", purposes: ["test"] },
  { name: "nftables", proof: "nft", why: "the same rules in the kernel's bridge", purposes: ["test"] },
  {
    name: "qemu-system-x86",
    proof: "qemu-system-x86_64",
    why: "virtual machines on vhost-user ports",
    purposes: ["test", "bench"],
  },
  { name: "busybox-static", proof: "busybox", why: "the user space of those machines", purposes: ["test", "bench"] },
  { name: "cpio", proof: "cpio", why: "their initramfs", purposes: ["test", "bench"] },
  { name: "xz-utils", proof: "xz", why: "their kernel modules", purposes: ["test", "bench", "kernel"] },
  {
    name: "debootstrap",
    proof: "debootstrap",
    why: "newer programs in a folder, for those machines",
    purposes: ["test", "bench"],
  },
  { name: "gcc", proof: "gcc", why: "struct layouts as the C compiler has them", purposes: ["test", "kernel"] },
  { name: "libc6-dev", proof: "/usr/include/stdio.h", why: "the same", purposes: ["test", "kernel"] },
  { name: "linux-libc-dev", proof: "/usr/include/linux/virtio_ring.h", why: "the same", purposes: ["test"] },
  { name: "dpdk-dev", proof: "dpdk-testpmd", why: "DPDK's virtio driver and switch", purposes: ["test", "bench"] },
  {
    name: /^librte-net-virtio[0-9]+$/,
    proof: "/usr/lib/*/librte_net_virtio.so.*",
    why: "DPDK's virtio driver",
    purposes: ["test", "bench"],
  },
  {
    name: /^librte-net-vhost[0-9]+$/,
    proof: "/usr/lib/*/librte_net_vhost.so.*",
    why: "DPDK's vhost ports",
    purposes: ["test", "bench"],
  },
  {
    name: /^librte-mempool-ring[0-9]+$/,
    proof: "/usr/lib/*/librte_mempool_ring.so.*",
    why: "DPDK's packet buffers",
    purposes: ["test", "bench"],
  },
  {
    name: "openvswitch-switch-dpdk",
    proof: "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk",
    why: "OVS-DPDK, measured beside ringyard",
    purposes: ["bench"],
  },
  { name: "openvswitch-common", proof: "ovsdb-server", why: "the same", purposes: ["bench"] },
  { name: "vde2", proof: "vde_plug2tap", why: "vde_switch, measured beside ringyard", purposes: ["bench"] },
  { name: "make", proof: "make", why: "a kernel of our own configuration", purposes: ["test", "kernel"] },
  { name: "flex", proof: "flex", why: "a kernel of our own configuration", purposes: ["test", "kernel"] },
  { name: "bison", proof: "bison", why: "a kernel of our own configuration", purposes: ["test", "kernel"] },
  { name: "bc", proof: "bc", why: "a kernel of our own configuration", purposes: ["test", "kernel"] },
  {
    name: "libelf-dev",
    proof: "/usr/include/libelf.h",
    why: "a kernel of our own configuration",
    purposes: ["test", "kernel"],
  },
];

/** Root's programs too: a user's PATH often leaves them out. */
export const PROGRAM_PATH = `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`;

export function isInstalled(wanted: SystemPackage): boolean {
  if (!wanted.proof.includes("/")) return Bun.which(wanted.proof, { PATH: PROGRAM_PATH }) !== null;
  const [found] = new Bun.Glob(wanted.proof.slice(1)).scanSync({ cwd: "/", onlyFiles: false });
  return found !== undefined;
}

export function missingPackages(purpose: Purpose): SystemPackage[] {
  return systemPackages.filter((each) => each.purposes.includes(purpose) && !isInstalled(each));
}
