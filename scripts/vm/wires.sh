#!/bin/bash
# wires.sh MTU "NEAR:FAR:[multi_queue] …" QEMU…: makes pairs of taps and joins each pair, then becomes QEMU. Runs in a network
# namespace of its own (unshare --net), which goes with QEMU and takes the taps with it.
#
#   NIC <- QEMU -> NEAR --redirect--> FAR <- QEMU -> partner       what comes in at one tap goes out at the other, by tc: a wire
#                       <--redirect--                              passes what a bridge keeps (LLDP, pause), and learns nothing
#
# virtio headers stay with the frames: a partial checksum or a TCP super-frame crosses the wire as it is.
set -e
mtu=$1
pairs=$2
shift 2
# The kernel's own neighbour discovery has no business on these wires.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6

redirect() {
  tc qdisc add dev "$1" clsact
  tc filter add dev "$1" ingress protocol all u32 match u32 0 0 action mirred egress redirect dev "$2"
}

for pair in $pairs; do
  IFS=: read -r near far queues <<<"$pair"
  ip tuntap add "$near" mode tap vnet_hdr ${queues:+"$queues"}
  ip tuntap add "$far" mode tap vnet_hdr
  for tap in "$near" "$far"; do ip link set dev "$tap" mtu "$mtu" txqueuelen 4096 arp off up; done
  redirect "$near" "$far"
  redirect "$far" "$near"
done
exec "$@"
