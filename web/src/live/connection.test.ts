import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Backoff } from "./backoff";
import { Connection } from "./connection";
import type { Client } from "./socket";

/** An MQTT client that does what a test tells it. */
class FakeClient extends EventEmitter {
  subscribed: string[] = [];
  ended = false;
  answer: (error: Error | null) => void = () => {};

  subscribe(filter: string, _options: unknown, answer: (error: Error | null) => void): void {
    this.subscribed.push(filter);
    this.answer = answer;
  }

  end(): void {
    this.ended = true;
  }

  /** The server accepts the connection and the subscription. */
  accept(): void {
    this.emit("connect", {});
    this.answer(null);
  }

  message(payload: string, retain: boolean): void {
    this.emit("message", "games/1", Buffer.from(payload), { retain });
  }
}

let clients: FakeClient[];
let closeSocket: (code: number, reason: string) => void;
let online: boolean;
const locate = vi.fn<() => Promise<string>>();
const onMessage = vi.fn();
const onLost = vi.fn();
let connection: Connection;

/** The client of the latest attempt. */
function client(): FakeClient {
  const latest = clients.at(-1);
  if (latest === undefined) throw new Error("nothing has been opened");
  return latest;
}

/** Lets promises settle, and timers up to this many ms run. */
const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

beforeEach(async () => {
  vi.useFakeTimers({ now: 0 });
  vi.resetAllMocks();
  clients = [];
  online = true;
  locate.mockResolvedValue("ws://host/mqtt");
  connection = new Connection({
    locate,
    open: (_url, onSocketClose) => {
      const opened = new FakeClient();
      clients.push(opened);
      closeSocket = onSocketClose;
      return opened as unknown as Client;
    },
    onMessage,
    onLost,
    isOnline: () => online,
    backoff: new Backoff(() => 0.5),
  });
  connection.start();
  await pass();
});

afterEach(() => {
  vi.useRealTimers();
});

test("is live once the subscription is acknowledged, not before", () => {
  expect(connection.state()).toEqual({ phase: "connecting", retry: false });
  client().emit("connect", {});
  expect(connection.state().phase).toBe("connecting");
  expect(client().subscribed).toEqual(["games/+"]);
  client().answer(null);
  expect(connection.state()).toEqual({ phase: "live" });
});

test("tells snapshot values from live ones", () => {
  client().accept();
  client().message("a", true);
  client().message("b", false);
  expect(onMessage.mock.calls).toEqual([
    ["a", false],
    ["b", true],
  ]);
});

describe("after a loss", () => {
  test("waits with jitter, connects again and subscribes again", async () => {
    client().accept();
    await pass(60_000);
    closeSocket(1006, "");
    client().emit("close");
    expect(onLost).toHaveBeenCalledTimes(1);
    expect(connection.state()).toEqual({
      phase: "reconnecting",
      retryAt: 60_500,
      reason: "server unreachable",
    });
    await pass(499);
    expect(clients).toHaveLength(1);
    await pass(1);
    expect(connection.state()).toEqual({ phase: "connecting", retry: true });
    client().accept();
    expect(clients).toHaveLength(2);
    expect(client().subscribed).toEqual(["games/+"]);
    expect(connection.state()).toEqual({ phase: "live" });
  });

  test("each failed attempt waits longer; nothing is lost twice", async () => {
    client().emit("close");
    expect(connection.state()).toMatchObject({ retryAt: 500 });
    await pass(500);
    client().emit("close");
    expect(connection.state()).toMatchObject({ retryAt: 1_500 });
    expect(onLost).not.toHaveBeenCalled();
  });

  test("a server that accepts and drops at once does not start the backoff anew; a good connection does", async () => {
    client().accept();
    client().emit("close");
    await pass(500);
    client().accept();
    client().emit("close");
    expect(connection.state()).toMatchObject({ retryAt: 1_500 });
    await pass(1_000);
    client().accept();
    await pass(10_000);
    client().emit("close");
    expect(connection.state()).toMatchObject({ retryAt: 12_000 });
  });

  test("the first word about the end counts, and the old client is let go", () => {
    client().accept();
    client().emit("disconnect", { reasonCode: 0x8b });
    client().emit("error", new Error("later"));
    client().emit("close");
    client().message("late", false);
    expect(connection.state()).toMatchObject({ phase: "reconnecting", reason: "server shutting down" });
    expect(client().ended).toBe(true);
    expect(onMessage).not.toHaveBeenCalled();
    expect(onLost).toHaveBeenCalledTimes(1);
  });

  test("a close reason of the server is shown", () => {
    client().accept();
    closeSocket(4001, "slow consumer");
    client().emit("close");
    expect(connection.state()).toMatchObject({ reason: "slow consumer" });
  });

  test("connectNow does not wait, and the timer does not connect a second time", async () => {
    client().emit("close");
    connection.connectNow();
    await pass(5_000);
    expect(clients).toHaveLength(2);
    connection.connectNow();
    await pass();
    expect(clients).toHaveLength(2);
  });
});

describe("offline", () => {
  test("a refusal that would repeat is final until somebody asks", async () => {
    client().emit("error", Object.assign(new Error("Connection refused: Not authorized"), { code: 0x87 }));
    expect(connection.state()).toEqual({ phase: "offline", reason: "Connection refused: Not authorized" });
    await pass(120_000);
    expect(clients).toHaveLength(1);
    connection.connectNow();
    await pass();
    client().accept();
    expect(connection.state()).toEqual({ phase: "live" });
  });

  test("so is a refused subscription", () => {
    client().emit("connect", {});
    client().answer(Object.assign(new Error("Subscribe error: Not authorized"), { code: 0x87 }));
    expect(connection.state()).toMatchObject({ phase: "offline" });
  });

  test("a busy server is asked again", () => {
    client().emit("error", Object.assign(new Error("Connection refused: Server busy"), { code: 0x89 }));
    expect(connection.state()).toMatchObject({ phase: "reconnecting" });
  });

  test("without a network it waits for one", async () => {
    client().accept();
    online = false;
    client().emit("close");
    expect(connection.state()).toEqual({ phase: "offline", reason: "no network" });
    await pass(120_000);
    expect(clients).toHaveLength(1);
  });

  test("when the browser reports that the network went, an attempt tells whether it did", async () => {
    client().accept();
    connection.verify();
    await pass();
    expect(onLost).toHaveBeenCalledTimes(1);
    expect(clients.map(({ ended }) => ended)).toEqual([true, false]);
    client().accept();
    expect(connection.state()).toEqual({ phase: "live" });
  });
});

test("the configuration is asked for until it answers, then kept", async () => {
  locate.mockReset();
  locate.mockRejectedValueOnce(new Error("config.json: HTTP 503")).mockResolvedValue("ws://host/mqtt");
  const late = new Connection({
    locate,
    open: () => {
      const opened = new FakeClient();
      clients.push(opened);
      return opened as unknown as Client;
    },
    onMessage,
    onLost,
    isOnline: () => true,
    backoff: new Backoff(() => 0.5),
  });
  late.start();
  await pass();
  expect(late.state()).toMatchObject({ phase: "reconnecting", reason: "config.json: HTTP 503" });
  await pass(500);
  client().emit("close");
  await pass(1_000);
  client().accept();
  expect(late.state()).toEqual({ phase: "live" });
  expect(locate).toHaveBeenCalledTimes(2);
});

test("an address that cannot be opened is a reason, not a crash", async () => {
  const broken = new Connection({
    locate,
    open: () => {
      throw new Error("Missing protocol");
    },
    onMessage,
    onLost,
    isOnline: () => true,
  });
  broken.start();
  await pass();
  expect(broken.state()).toMatchObject({ phase: "reconnecting", reason: "Missing protocol" });
});
