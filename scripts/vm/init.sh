#!/bin/busybox sh
# The first program of a virtual machine: loads modules, mounts the host's root (9p, read-only) and what must be writable,
# and goes on with agent.sh there. Where something fails, init ends, the kernel panics, and the reason is on the console.
#
# The share "results" is writable; its folder .boot has what machine.ts wants to say:
#   settings   variables for this script and the agent      keep   folders of the host that lie where a tmpfs will hide them

set -e
/bin/busybox mkdir -p /dev /proc /sys /bin /sbin /host /results /keep
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module.ko" || echo "insmod $module failed"; done </modules/order

mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 results /results
. /results/.boot/settings
# Loose caching: the host's files are not expected to change while the machine runs.
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro host /host

number=0
while read -r folder; do
  number=$((number + 1))
  mkdir "/keep/$number"
  mount --bind "/host$folder" "/keep/$number"
done </results/.boot/keep
for folder in /tmp /run /var/tmp; do mount -t tmpfs tmpfs "/host$folder"; done
chmod 1777 /host/tmp /host/var/tmp
number=0
while read -r folder; do
  number=$((number + 1))
  mkdir -p "/host$folder"
  mount --move "/keep/$number" "/host$folder"
done </results/.boot/keep

mkdir -p /host/run/lock /host/run/netns /host/run/vm/results /dev/pts /dev/shm /dev/hugepages
mount --move /results /host/run/vm/results
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || true
if [ "$hugepages" -gt 0 ]; then
  echo "$hugepages" >/proc/sys/vm/nr_hugepages
  mount -t hugetlbfs hugetlbfs /dev/hugepages
fi
ip link set lo up
hostname ringyard-vm
# Warnings too are for the console from now on; what the boot had to say is nobody's business.
echo 5 >/proc/sys/kernel/printk
for folder in dev proc sys; do mount --move "/$folder" "/host/$folder"; done
exec switch_root /host /bin/bash /run/vm/results/.boot/agent.sh
