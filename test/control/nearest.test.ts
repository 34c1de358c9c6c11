// "Did you mean": near words are found, others are not guessed.

import { describe, expect, test } from "bun:test";
import { nearest, suggest } from "../../src/control/nearest.ts";

const KNOWN = ["mac", "mtu", "netns", "offload", "queues"];

describe("nearest", () => {
  test.each([
    ["mtuu", "mtu"],
    ["mut", "mtu"],
    ["MTU", "mtu"],
    ["queue", "queues"],
    ["ofload", "offload"],
    ["netnss", "netns"],
  ])("%s is %s", (word, known) => {
    expect(nearest(word, KNOWN)).toBe(known);
  });

  test.each(["", "xyz", "speed", "x".repeat(1000)])("%s is nothing known", (word) => {
    expect(nearest(word, KNOWN)).toBeUndefined();
  });
});

test("suggest lists what there is, and not more than fits", () => {
  expect(suggest("web", "ports:", [])).toBe("ports: none");
  expect(suggest("weg", "ports:", ["web", "db"])).toBe("did you mean web? ports: db, web");
  const many = Array.from({ length: 20 }, (_, index) => `p${index + 10}`);
  expect(suggest("other", "ports:", many)).toEndWith("p24, p25 and 4 more");
});
