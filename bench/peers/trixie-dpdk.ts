// DPDK 24.11, from a folder of Debian trixie: what the suites inside the virtual machine compare with.

/** testpmd with VDUSE's back end, and with drivers for virtio and Intel NICs. */
export const DPDK_PACKAGES = [
  "dpdk-dev",
  "librte-bus-pci25",
  "librte-mempool-ring25",
  "librte-net-e1000-25",
  "librte-net-vhost25",
  "librte-net-virtio25",
];
