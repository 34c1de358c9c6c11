// Which files of a peer are mapped: those whose server may keep a thread waiting are not even asked how long they are. That a FUSE server could
// (fstat(2) came back when it ended) was seen by hand: a test would have to mount one.

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isServedElsewhere, mapFile } from "../../src/ports/shared-file.ts";
import { closeFd, eventFd, O_RDWR, openFd } from "../../src/sys/fd.ts";
import { memfd, unmap } from "../../src/sys/memory.ts";

const scratch = mkdtempSync(join(tmpdir(), "ringyard-shared-"));
afterAll(() => rmSync(scratch, { recursive: true }));

test("memory of the kernel's, and a file on a disk, are mapped", () => {
  const path = join(scratch, "disk");
  writeFileSync(path, new Uint8Array(8192));
  for (const fd of [memfd("ringyard-shared-test", 8192), openFd(path, O_RDWR)]) {
    expect(isServedElsewhere(fd)).toBe(false);
    const { base, mapped } = mapFile(fd, 4096, 4096);
    unmap(base, mapped);
    closeFd(fd);
  }
});

test("a file on a mount that cannot be seen here is refused before it is asked for anything", () => {
  const fd = eventFd();
  expect(isServedElsewhere(fd)).toBe(true);
  expect(() => mapFile(fd, 0, 4096)).toThrow("another process may serve");
  closeFd(fd);
});
