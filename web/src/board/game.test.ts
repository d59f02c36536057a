import { describe, expect, test } from "vitest";
import { apply, compare, type Game } from "./game";

const RECEIVED = 1_000;

function game(odds: Record<string, string>, before?: Game, live = true): Game {
  const columns = Object.entries(odds).map(([column, value]) => ({ column, value }));
  return apply(before, { gameId: "1", columns }, live, RECEIVED);
}

describe("compare", () => {
  test.each([
    ["1.9", "2.0", "up"],
    ["9.5", "10.5", "up"],
    ["2", "1.99", "down"],
    ["0.5", "0.50", "none"],
    ["-1", "-2", "down"],
    ["1.5", "suspended", "changed"],
    ["", "0", "changed"],
    ["open", "open", "none"],
  ] as const)("from %j to %j is %s", (before, after, direction) => {
    expect(compare(before, after)).toBe(direction);
  });
});

describe("apply", () => {
  test("what is seen for the first time does not flash", () => {
    expect(game({ odd1: "1.5" }).odds).toEqual([
      { column: "odd1", value: "1.5", direction: "none", pulse: 0 },
    ]);
  });

  test("each live change flashes, also twice in the same direction", () => {
    const once = game({ odd1: "1.6" }, game({ odd1: "1.5" }));
    const twice = game({ odd1: "1.7" }, once);
    expect(once.odds[0]).toMatchObject({ direction: "up", pulse: 1 });
    expect(twice.odds[0]).toMatchObject({ direction: "up", pulse: 2 });
  });

  test("an odd that did not change keeps its identity and its arrow", () => {
    const before = game({ odd1: "1.4", odd2: "3" }, game({ odd1: "1.5", odd2: "3" }));
    const after = game({ odd1: "1.4", odd2: "4" }, before);
    expect(after.odds[0]).toBe(before.odds[0]);
    expect(after.odds[0]).toMatchObject({ direction: "down", pulse: 1 });
    expect(after.odds[1]).toMatchObject({ direction: "up", pulse: 1 });
  });

  test("another spelling of the same number shows, without a flash", () => {
    expect(game({ odd1: "0.50" }, game({ odd1: "0.5" })).odds[0]).toMatchObject({ value: "0.50", pulse: 0 });
  });

  test("a snapshot value shows the direction, without a flash", () => {
    expect(game({ odd1: "2" }, game({ odd1: "1" }), false).odds[0]).toMatchObject({
      direction: "up",
      pulse: 0,
    });
  });

  test("columns may come, go and move", () => {
    const after = game({ b: "3", c: "1" }, game({ a: "1", b: "2" }));
    expect(after.odds).toMatchObject([
      { column: "b", direction: "up" },
      { column: "c", direction: "none" },
    ]);
  });

  test("a record keeps the known name", () => {
    const named = apply(undefined, { gameId: "1", name: "A x B", columns: [] }, true, RECEIVED);
    expect(game({ odd1: "1" }, named).name).toBe("A x B");
  });

  test("the age counts from created_at, else from receipt, and not at all before the first row", () => {
    const columns = [{ column: "odd1", value: "1" }];
    expect(apply(undefined, { gameId: "1", columns, createdAt: 500 }, true, RECEIVED).updatedAt).toBe(500);
    expect(apply(undefined, { gameId: "1", columns }, true, RECEIVED).updatedAt).toBe(RECEIVED);
    expect(apply(undefined, { gameId: "1", columns: [] }, true, RECEIVED).updatedAt).toBeUndefined();
  });
});
