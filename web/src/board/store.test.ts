import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Update } from "./record";
import { BoardStore } from "./store";

let frames: (() => void)[];
let store: BoardStore;

/** Runs what waits for the next frame. */
function frame(): void {
  for (const flush of frames.splice(0)) flush();
}

function odds(gameId: string, value: string): Update {
  return { gameId, columns: [{ column: "odd1", value }] };
}

beforeEach(() => {
  frames = [];
  store = new BoardStore(
    (flush) => frames.push(flush),
    () => 1_000,
  );
});

describe("batching", () => {
  test("updates show with the next frame, and a burst asks for one frame", () => {
    store.receive(odds("1", "1.5"), true);
    store.receive(odds("2", "1.5"), true);
    expect(store.visible()).toEqual([]);
    expect(frames).toHaveLength(1);
    frame();
    expect(store.visible()).toEqual(["1", "2"]);
  });

  test("of one game's updates within a frame, the last shows, against what was on the page", () => {
    store.receive(odds("1", "2"), true);
    frame();
    store.receive(odds("1", "9"), true);
    store.receive(odds("1", "1.5"), true);
    frame();
    expect(store.game("1")?.odds).toEqual([{ column: "odd1", value: "1.5", direction: "down", pulse: 1 }]);
  });

  test("a name and the first record within one frame make one named game", () => {
    store.receive({ gameId: "1", name: "A x B", columns: [] }, true);
    store.receive(odds("1", "2"), true);
    frame();
    expect(store.game("1")).toMatchObject({ name: "A x B", odds: [{ value: "2" }] });
  });

  test("after a frame, the next update asks for another", () => {
    store.receive(odds("1", "2"), true);
    frame();
    store.receive(odds("1", "3"), true);
    expect(frames).toHaveLength(1);
  });
});

describe("listeners", () => {
  test("an update calls its own card, and neither another card nor the list", () => {
    store.receive(odds("1", "2"), true);
    store.receive(odds("2", "2"), true);
    frame();
    const [one, two, list] = [vi.fn(), vi.fn(), vi.fn()];
    const remove = store.subscribeGame("1", one);
    store.subscribeGame("2", two);
    store.subscribeList(list);
    const other = store.game("2");
    store.receive(odds("1", "3"), true);
    frame();
    expect(one).toHaveBeenCalledTimes(1);
    expect(two).not.toHaveBeenCalled();
    expect(list).not.toHaveBeenCalled();
    expect(store.game("2")).toBe(other);
    remove();
    store.receive(odds("1", "4"), true);
    frame();
    expect(one).toHaveBeenCalledTimes(1);
  });

  test("a new game calls the list", () => {
    const list = vi.fn();
    store.subscribeList(list);
    store.receive({ gameId: "1", name: "A x B", columns: [] }, true);
    frame();
    expect(list).toHaveBeenCalledTimes(1);
  });
});

describe("order and search", () => {
  beforeEach(() => {
    for (const [gameId, name] of [
      ["10", "Santos x Bahia"],
      ["9", "Grêmio x Santos"],
    ] as const) {
      store.receive({ gameId, name, columns: [] }, false);
    }
    frame();
  });

  test("cards stand by id, and neither odds nor names move them", () => {
    store.receive(odds("10", "1"), true);
    store.receive({ gameId: "10", name: "A first", columns: [] }, true);
    frame();
    expect(store.visible()).toEqual(["9", "10"]);
  });

  test("the search narrows the list, also for games that come later", () => {
    store.search("gremio");
    expect(store.visible()).toEqual(["9"]);
    store.receive({ gameId: "1", name: "Bahia x Grêmio", columns: [] }, true);
    store.receive({ gameId: "2", name: "Bahia x Vasco", columns: [] }, true);
    frame();
    expect(store.visible()).toEqual(["1", "9"]);
    expect(store.size).toBe(4);
    store.search("");
    expect(store.visible()).toEqual(["1", "2", "9", "10"]);
  });

  test("a name that arrives during a search is found", () => {
    store.receive(odds("3", "1"), true);
    frame();
    store.search("vasco");
    store.receive({ gameId: "3", name: "Vasco x Goiás", columns: [] }, true);
    frame();
    expect(store.visible()).toEqual(["3"]);
  });
});

describe("names from elsewhere", () => {
  const name = (id: string, text: string) => store.rename(new Map([[id, text]]));

  test("name a game on the board, which draws once and is otherwise as it was", () => {
    store.receive(odds("1", "2"), true);
    frame();
    const before = store.game("1");
    const card = vi.fn();
    store.subscribeGame("1", card);
    name("1", "A x B");
    name("1", "A x B");
    expect(card).toHaveBeenCalledTimes(1);
    expect(store.game("1")).toEqual({ ...before, name: "A x B" });
  });

  test("wait for a game that is not there yet, and make no card", () => {
    name("1", "A x B");
    expect(store.size).toBe(0);
    store.receive(odds("1", "2"), false);
    frame();
    expect(store.game("1")?.name).toBe("A x B");
  });

  test("name a game that waits for its frame, in place of the name it came with", () => {
    store.receive({ gameId: "1", name: "old", columns: [] }, true);
    name("1", "new");
    frame();
    expect(store.game("1")?.name).toBe("new");
  });

  test("do not come back after a later update's name", () => {
    name("1", "old");
    store.receive({ gameId: "1", name: "new", columns: [] }, true);
    frame();
    store.receive(odds("1", "2"), true);
    frame();
    expect(store.game("1")?.name).toBe("new");
  });

  test("are found by a search that was there before, and by one that comes later", () => {
    store.receive(odds("1", "1"), false);
    store.receive(odds("2", "1"), false);
    frame();
    store.search("gremio");
    expect(store.visible()).toEqual([]);
    name("2", "Grêmio x Bahia");
    expect(store.visible()).toEqual(["2"]);
    name("1", "Vasco x Goiás");
    store.search("vasco");
    expect(store.visible()).toEqual(["1"]);
  });
});

describe("staleness", () => {
  test("games are stale from the loss of the connection until they are heard of again", () => {
    store.receive(odds("1", "1"), true);
    store.receive(odds("2", "1"), true);
    frame();
    const card = vi.fn();
    store.subscribeGame("1", card);
    store.markStale();
    expect(card).toHaveBeenCalledTimes(1);
    expect([store.game("1")?.stale, store.game("2")?.stale]).toEqual([true, true]);
    store.receive(odds("1", "1"), false);
    frame();
    expect([store.game("1")?.stale, store.game("2")?.stale]).toEqual([false, true]);
  });

  test("an update that waits for its frame when the connection is lost is stale too", () => {
    store.receive(odds("1", "1"), true);
    store.markStale();
    frame();
    expect(store.game("1")?.stale).toBe(true);
  });
});

test("malformed payloads are counted with the latest reason, and change nothing", () => {
  store.receive(odds("1", "1"), true);
  store.reject("not JSON");
  store.reject("no game_id");
  frame();
  expect(store.counters).toEqual({ received: 3, malformed: 2, lastMalformed: "no game_id" });
  expect(store.size).toBe(1);
});
