import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Backoff } from "./backoff";
import { Names } from "./names";

const fetchJson = vi.fn<(url: string) => Promise<Response>>();
/** All names that were learnt. */
let learnt: Record<string, string>;
let names: Names;

/** A page of the list, of ids and names. */
function page(games: Record<string, string>, next?: string): Response {
  const items = Object.entries(games).map(([id, displayName]) => ({ id, displayName, ready: true }));
  return Response.json({ items, ...(next !== undefined && { continue: next }) });
}

/** An answer that a test gives when it wants to. */
function later(): (response: Response) => void {
  let answer: (response: Response) => void = () => {};
  fetchJson.mockReturnValueOnce(
    new Promise((resolve) => {
      answer = resolve;
    }),
  );
  return answer;
}

/** Lets promises settle, and timers up to this many ms run. */
const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  fetchJson.mockReset();
  fetchJson.mockImplementation(async () => page({}));
  learnt = {};
  names = new Names({
    onNames: (some) => Object.assign(learnt, Object.fromEntries(some)),
    fetchJson: fetchJson as unknown as typeof fetch,
    backoff: new Backoff(() => 0.5),
  });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the list", () => {
  test("is read to its last page", async () => {
    fetchJson
      .mockResolvedValueOnce(page({ "1": "A x B" }, "a&b"))
      .mockResolvedValueOnce(page({ "2": "C x D" }));
    names.start();
    await pass();
    expect(fetchJson.mock.calls.map(([url]) => url)).toEqual([
      "games?limit=1000",
      "games?limit=1000&continue=a%26b",
    ]);
    expect(learnt).toEqual({ "1": "A x B", "2": "C x D" });
  });

  test("gives the id for a game without a name, which is not asked for again", async () => {
    fetchJson.mockResolvedValueOnce(page({ "1": "1", "2": "A x B" }));
    names.start();
    await pass();
    names.heard("1", undefined);
    await pass(60_000);
    expect(learnt).toEqual({ "2": "A x B" });
    expect(fetchJson).toHaveBeenCalledTimes(1);
  });

  test("may hold what is no game", async () => {
    const items = [null, 1, {}, { id: 1, displayName: "x" }, { id: "2" }, { id: "3", displayName: "" }];
    fetchJson.mockResolvedValueOnce(Response.json({ items: [...items, { id: "4", displayName: "A x B" }] }));
    names.start();
    await pass();
    expect(learnt).toEqual({ "4": "A x B" });
  });
});

describe("a game that shows up without a name", () => {
  beforeEach(async () => {
    names.start();
    await pass(60_000);
    fetchJson.mockClear();
  });

  test("is asked for once, together with those that follow it", async () => {
    fetchJson.mockResolvedValueOnce(page({ "1": "A x B" }));
    names.heard("1", undefined);
    await pass(1_000);
    names.heard("1", undefined);
    names.heard("2", undefined);
    await pass(999);
    expect(fetchJson).not.toHaveBeenCalled();
    await pass(1);
    expect(learnt).toEqual({ "1": "A x B" });
    names.heard("1", undefined);
    names.heard("2", undefined);
    await pass(60_000);
    expect(fetchJson).toHaveBeenCalledTimes(1);
  });

  test("waits until ten seconds after the reading before", async () => {
    names.heard("1", undefined);
    await pass(2_000);
    names.heard("2", undefined);
    await pass(9_999);
    expect(fetchJson).toHaveBeenCalledTimes(1);
    await pass(1);
    expect(fetchJson).toHaveBeenCalledTimes(2);
  });

  test("while the list is read is asked for afterwards, unless the list has it", async () => {
    const answer = later();
    names.heard("1", undefined);
    await pass(2_000);
    names.heard("2", undefined);
    names.heard("3", undefined);
    answer(page({ "2": "A x B" }));
    await pass(10_000);
    expect(fetchJson).toHaveBeenCalledTimes(2);
    await pass(60_000);
    expect(fetchJson).toHaveBeenCalledTimes(2);
  });

  test("and then is named by a message is in no need of the list again", async () => {
    names.heard("1", "A x B");
    names.heard("1", undefined);
    await pass(60_000);
    expect(fetchJson).not.toHaveBeenCalled();
  });
});

test("a name that is heard while the list is read is newer; one heard before is not", async () => {
  const answer = later();
  names.heard("1", "before");
  names.start();
  names.heard("2", "meanwhile");
  answer(page({ "1": "listed", "2": "listed" }));
  await pass();
  expect(learnt).toEqual({ "1": "listed" });
});

describe("an api that", () => {
  test.each([
    ["does not answer", () => Promise.reject(new TypeError("fetch failed"))],
    ["has not read its games yet", async () => new Response("{}", { status: 503 })],
    ["answers something else", async () => Response.json({})],
  ])("%s is asked again, at growing intervals, until it answers", async (_what, failure) => {
    fetchJson.mockImplementationOnce(failure).mockImplementationOnce(failure);
    fetchJson.mockResolvedValueOnce(page({ "1": "A x B" }));
    names.start();
    names.heard("1", undefined);
    await pass(10_499);
    expect(fetchJson).toHaveBeenCalledTimes(1);
    await pass(1);
    expect(fetchJson).toHaveBeenCalledTimes(2);
    await pass(10_999);
    expect(fetchJson).toHaveBeenCalledTimes(2);
    await pass(1);
    expect(learnt).toEqual({ "1": "A x B" });
    await pass(120_000);
    expect(fetchJson).toHaveBeenCalledTimes(3);
  });

  test.each([
    ["404", () => new Response("", { status: 404 })],
    ["its start page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
  ])("is not there (%s) is not asked again by itself", async (_what, answer) => {
    fetchJson.mockImplementation(async () => answer());
    names.start();
    await pass(120_000);
    expect(fetchJson).toHaveBeenCalledTimes(1);
    expect(learnt).toEqual({});
  });
});
