#!/bin/busybox sh
# The whole user space of a test guest: load the network driver, address eth0, then run what the test sends over the
# second serial port, one command at a time (commands.ts is the other end and describes the lines). Base64 keeps quotes
# and newlines out of a line. The kernel hands words of its command line on as variables: guest_name, guest_ip.
# Where the set-up fails, init ends, the kernel panics, and the reason is on the console, the first serial port.

set -e
/bin/busybox mkdir -p /dev /proc /sys /tmp /bin /sbin
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
cd /tmp

while read -r module; do insmod "$module"; done </lib/guest-modules
hostname "$guest_name"
ip link set lo up
ip address add "$guest_ip" dev eth0
ip link set eth0 up

set +e
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo guest-is-ready
# In a shell of its own: process 1 inherits every orphan, and busybox's `read` forgets half a line when a child ends.
(
  while read -r id seconds encoded; do
    command=$(echo "$encoded" | base64 -d)
    printf '<%s>' "$id"
    timeout -s KILL "$seconds" sh -c "$command" </dev/null
    printf '</%s %d>\n' "$id" $?
  done
)
reboot -f
