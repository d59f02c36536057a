import { expect, test } from "vitest";
import type { Game } from "./game";
import { matcher } from "./search";

const GAME: Game = { id: "123121", name: "Grêmio x São Paulo", odds: [], updatedAt: undefined, stale: false };

test("a blank query asks for nothing", () => {
  expect(matcher("  ")).toBeUndefined();
});

test.each([
  ["1231", true],
  ["gremio", true],
  ["SÃO", true],
  ["paulo 123121", true],
  ["paulo 999", false],
  ["flamengo", false],
])("%j: %s", (query, found) => {
  expect(matcher(query)?.(GAME)).toBe(found);
});

test("a game without a name is found by its id", () => {
  expect(matcher("121")?.({ ...GAME, name: undefined })).toBe(true);
});
