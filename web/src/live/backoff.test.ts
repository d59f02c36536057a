import { expect, test } from "vitest";
import { Backoff } from "./backoff";

test("the bound doubles up to half a minute", () => {
  const backoff = new Backoff(() => 1 - Number.EPSILON);
  const waits = Array.from({ length: 7 }, () => backoff.next());
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("the jitter is full: a wait may be anything from zero on", () => {
  const draws = [0, 0.5, 0.25];
  const backoff = new Backoff(() => draws.shift() ?? 0);
  expect([backoff.next(), backoff.next(), backoff.next()]).toEqual([0, 1_000, 1_000]);
});

test("a good connection starts it anew", () => {
  const backoff = new Backoff(() => 0.5);
  backoff.next();
  backoff.next();
  backoff.reset();
  expect(backoff.next()).toBe(500);
});

test("a page that is left open never computes an endless wait", () => {
  const backoff = new Backoff(() => 0.5);
  for (let failure = 0; failure < 5_000; failure++) backoff.next();
  expect(backoff.next()).toBe(15_000);
});
