import { expect, test } from "vitest";
import { parsePayload } from "./record";

test("a record gives its columns as sent, without those that describe the row", () => {
  const payload = `{"row_id":1,"game_id":"123121","odd1":"0.320","odd2":2.5,"open":true,"note":null,
    "created_at":"2026-11-21T14:26:00.123Z"}`;
  expect(parsePayload(payload)).toEqual({
    update: {
      gameId: "123121",
      columns: [
        { column: "odd1", value: "0.320" },
        { column: "odd2", value: "2.5" },
        { column: "open", value: "true" },
        { column: "note", value: "–" },
      ],
      createdAt: Date.UTC(2026, 10, 21, 14, 26, 0, 123),
    },
  });
});

test("an initial value gives the name and no columns", () => {
  expect(parsePayload('{"game_id":"123120","name":"Flamengo x Palmeiras"}')).toEqual({
    update: { gameId: "123120", name: "Flamengo x Palmeiras", columns: [] },
  });
});

test("in a record, name is a column", () => {
  expect(parsePayload('{"row_id":7,"game_id":"a","name":"x"}')).toEqual({
    update: { gameId: "a", columns: [{ column: "name", value: "x" }] },
  });
});

test("a time that cannot be read is left out", () => {
  expect(parsePayload('{"row_id":7,"game_id":"a","created_at":"soon"}')).toEqual({
    update: { gameId: "a", columns: [] },
  });
});

test("a column named like an object's prototype is a column", () => {
  expect(parsePayload('{"row_id":7,"game_id":"a","__proto__":"1.5"}')).toEqual({
    update: { gameId: "a", columns: [{ column: "__proto__", value: "1.5" }] },
  });
});

test.each([
  ["", "not JSON"],
  ["{", "not JSON"],
  ["null", "not a JSON object"],
  ["[1]", "not a JSON object"],
  ['"text"', "not a JSON object"],
  ['{"odd1":"1"}', "no game_id"],
  ['{"game_id":7}', "no game_id"],
  ['{"game_id":""}', "no game_id"],
])("%j is malformed: %s", (payload, malformed) => {
  expect(parsePayload(payload)).toEqual({ malformed });
});
