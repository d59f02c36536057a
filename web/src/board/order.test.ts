import { expect, test } from "vitest";
import { byId, insertSorted } from "./order";

test("numbers in ids compare as numbers", () => {
  expect(["10", "9", "game-2", "game-10", "1"].toSorted(byId)).toEqual(["1", "9", "10", "game-2", "game-10"]);
});

test("the order is total: ids that mean the same number have one place each", () => {
  expect(byId("01", "1")).toBeLessThan(0);
  expect(byId("1", "01")).toBeGreaterThan(0);
  expect(byId("1", "1")).toBe(0);
});

test("new ids are merged before, between and after those that are there", () => {
  expect(insertSorted(["3", "7"], ["9", "1", "5", "4"])).toEqual(["1", "3", "4", "5", "7", "9"]);
  expect(insertSorted([], ["2", "1"])).toEqual(["1", "2"]);
});
