#!/bin/bash
# chroot.sh ROOT PROGRAM…: runs a program with another root folder, which may be read-only: the machine's /dev (with the hugepages
# mounted in it), /proc and /sys are bound into it, /run and /tmp are new and empty. What is mounted stays for the next call.
# For virtual machines, where nobody else minds.
set -e
root=$1
shift
for folder in dev proc sys; do
  if ! mountpoint -q "$root/$folder"; then mount --rbind "/$folder" "$root/$folder"; fi
done
for folder in run tmp; do
  if ! mountpoint -q "$root/$folder"; then mount -t tmpfs tmpfs "$root/$folder"; fi
done
exec env HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
