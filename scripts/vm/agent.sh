#!/bin/bash
# Process 1 of a virtual machine once the host's root is its root: runs the commands that machine.ts sends, one after the
# other. Three virtio-serial ports lead out:
#   control   in: ID SECONDS LEFTOVERS BASE64(script)     out: "ready", then "ended ID CODE" for each
#   out, err  what the commands print, and ID once a command has ended: after it nothing of that command comes
# Commands write to pipes, not to the ports, so that programs find what they know, and may open /dev/stdout again.
# LEFTOVERS is "kill" (all that a command started ends with it) or "keep".

port() {
  for entry in /sys/class/virtio-ports/*; do
    if [ "$(<"$entry/name")" = "$1" ]; then echo "/dev/${entry##*/}"; fi
  done
}

# Says on the console where in the kernel the processes of a command stand that cannot be killed: machine.ts keeps it when it gives up.
# Their group does not list processes that are ending.
tell_where() {
  local entry task line
  for entry in $(grep -l ':/command$' /proc/[0-9]*/cgroup); do
    for task in "${entry%/cgroup}"/task/*; do
      echo "<3>cannot be killed: $(<"$task/comm") (${task##*/})"
      while read -r line; do echo "<3>  $line"; done <"$task/stack"
    done
  done 2>/dev/null | while read -r line; do echo "$line" >/dev/kmsg; done
}

# A device appears some time after its bus.
until [ -n "$(port control)" ] && [ -n "$(port out)" ] && [ -n "$(port err)" ]; do sleep 0.05; done
ulimit -c 0 -n 524288
mkdir -p /run/vm /sys/fs/cgroup/command /tmp/home
mkfifo /run/vm/out /run/vm/err
cat /run/vm/out >"$(port out)" &
cat /run/vm/err >"$(port err)" &
exec 7<>"$(port control)" 8<>/run/vm/out 9<>/run/vm/err

echo ready >&7
while read -r id seconds leftovers encoded <&7; do
  base64 -d <<<"$encoded" >/run/vm/command
  (
    echo "$BASHPID" >/sys/fs/cgroup/command/cgroup.procs
    exec 7>&-
    exec timeout -k 5 "$seconds" bash /run/vm/command
  ) </dev/null >&8 2>&9 8>&- 9>&-
  code=$?
  if [ "$leftovers" = kill ]; then
    began=$SECONDS
    told=
    while grep -q populated.1 /sys/fs/cgroup/command/cgroup.events; do
      echo 1 >/sys/fs/cgroup/command/cgroup.kill
      sleep 0.02
      if [ -z "$told" ] && [ $((SECONDS - began)) -ge 5 ]; then
        told=yes
        tell_where
      fi
      # Longer than a test lets the kernel wait for anybody: such a machine is of no use, and the host sees its end at once.
      if [ $((SECONDS - began)) -ge 90 ]; then echo b >/proc/sysrq-trigger; fi
    done
  fi
  printf '%s' "$id" >&8
  printf '%s' "$id" >&9
  echo "ended $id $code" >&7
done
