import { expect, test } from "vitest";
import { age } from "./age";

test.each([
  [-5_000, "now"],
  [999, "now"],
  [1_000, "1 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [3_600_000, "1 h"],
  [172_800_000, "2 d"],
])("%d ms ago is %s", (elapsed, text) => {
  const now = Date.UTC(2026, 0, 1);
  expect(age(now - elapsed, now)).toBe(text);
});
