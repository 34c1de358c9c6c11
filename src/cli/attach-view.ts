// What an attachment led to, as text: one line for a container, for a VM its device and QEMU's arguments, ready to be pasted
// into a shell. Pure.

import type { Attached } from "../ports/port.ts";

export function attachedText(port: string, { netdev, vm }: Attached, ip: readonly string[] = []): string {
  if (netdev !== undefined) {
    const { netns, ifname, mac } = netdev;
    return `${port}: ${[`${ifname} in ${netns}`, ...ip, mac].join(", ")}\n`;
  }
  if (vm !== undefined) return `${port}: ${vm.path}, for QEMU\n${qemuLines(vm.qemu).join(" \\\n")}\n`;
  return `${port}: attached\n`;
}

/** An option and its value to a line. */
function qemuLines(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const previous = lines.length - 1;
    const valueOfOption = !word.startsWith("-") && previous >= 0 && !lines[previous].trim().includes(" ");
    if (valueOfOption) lines[previous] += ` ${shellWord(word)}`;
    else lines.push(`  ${shellWord(word)}`);
  }
  return lines;
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
