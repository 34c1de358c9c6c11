#!/bin/sh
# The `ringyard` command: becomes the pinned Bun that npm installed, running main.ts. `exec` leaves one process, so that signals
# and the exit code are those of the switch itself.
here=$(dirname "$(readlink -f "$0")")
# As a checkout, or as a dependency, where npm may have put Bun beside the package.
for modules in "$here/../../node_modules" "$here/../../.." "$here/../../../.."; do
  if [ -x "$modules/.bin/bun" ]; then
    exec "$modules/.bin/bun" "$here/main.ts" "$@"
  fi
done
echo "ringyard: bun is not installed: run npm ci in $(readlink -f "$here/../..")" >&2
exit 127
