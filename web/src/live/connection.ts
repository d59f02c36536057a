import { Listeners } from "../listeners";
import { Backoff } from "./backoff";
import { disconnected, type Ending, failed, socketClosed } from "./reason";
import type { Client } from "./socket";

/** Every game of the default topic template, `games/{game_id}`. */
const FILTER = "games/+";
/** A connection that lived this long was a good one: the next failure starts the backoff anew. In ms. */
const GOOD_AFTER = 10_000;

/** What the page tells about its connection. */
export type ConnectionState =
  | { readonly phase: "connecting"; readonly retry: boolean }
  | { readonly phase: "live" }
  /** `retryAt` in ms since the epoch. */
  | { readonly phase: "reconnecting"; readonly retryAt: number; readonly reason: string }
  /** Nothing happens until the network is back or somebody asks. */
  | { readonly phase: "offline"; readonly reason: string };

export interface ConnectionOptions {
  /** Where to connect to; asked until it answers once. */
  readonly locate: () => Promise<string>;
  readonly open: (url: string, onSocketClose: (code: number, reason: string) => void) => Client;
  /** A payload and whether it is live, or a snapshot value (an MQTT retained message). */
  readonly onMessage: (payload: string, live: boolean) => void;
  /** The connection was lost: what the page shows may be out of date. */
  readonly onLost: () => void;
  readonly isOnline: () => boolean;
  readonly backoff?: Backoff;
}

/**
 * Keeps one subscription alive over any number of connections.
 *
 * ```text
 * connecting --CONNACK, SUBACK--> live
 *     ^  \___________________________\__ lost --> reconnecting (full jitter) or offline (refused, no network)
 *     \__________________________________________/
 * ```
 *
 * Each attempt has a client of its own, so nothing of a failed one leaks into the next; events of a client that is no
 * longer the current one are ignored.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #backoff: Backoff;
  readonly #listeners = new Listeners();
  #state: ConnectionState = { phase: "connecting", retry: false };
  #url: string | undefined;
  #client: Client | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #liveSince: number | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  readonly subscribe = this.#listeners.subscribe;
  readonly state = (): ConnectionState => this.#state;

  /** Connects at once, whatever it was waiting for. Does nothing while connecting or live. */
  readonly connectNow = (): void => {
    if (this.#state.phase === "connecting" || this.#state.phase === "live") return;
    clearTimeout(this.#timer);
    void this.#attempt();
  };

  /**
   * The network may have gone. Browsers guess (a server on this machine is still there), so this reconnects and lets
   * the attempt tell.
   */
  readonly verify = (): void => {
    if (this.#state.phase !== "live") return;
    this.#abandon();
    void this.#attempt();
  };

  start(): void {
    void this.#attempt();
  }

  async #attempt(): Promise<void> {
    // `start()` reports nothing new; a retry does.
    if (this.#state.phase !== "connecting") this.#become({ phase: "connecting", retry: true });
    try {
      this.#url ??= await this.#options.locate();
      this.#connect(this.#url);
    } catch (error) {
      this.#wait(failed(error instanceof Error ? error : new Error(String(error))));
    }
  }

  #connect(url: string): void {
    let ending: Ending | undefined;
    const client = this.#options.open(url, (code, reason) => {
      ending = socketClosed(code, reason);
    });
    this.#client = client;
    const lost = (why: Ending): void => {
      if (this.#client !== client) return;
      this.#abandon();
      this.#wait(why);
    };
    client.on("connect", () => {
      client.subscribe(FILTER, { qos: 0 }, (error) => {
        if (this.#client !== client) return;
        if (error) lost(failed(error));
        else this.#live();
      });
    });
    client.on("message", (_topic, payload, packet) => {
      if (this.#client === client) this.#options.onMessage(payload.toString(), !packet.retain);
    });
    client.on("disconnect", (packet) => lost(disconnected(packet.reasonCode)));
    client.on("error", (error) => lost(failed(error)));
    client.on("close", () => lost(ending ?? disconnected(undefined)));
  }

  #live(): void {
    this.#liveSince = Date.now();
    this.#become({ phase: "live" });
  }

  /** Lets go of the current client. */
  #abandon(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.end(true);
    if (this.#liveSince === undefined) return;
    if (Date.now() - this.#liveSince >= GOOD_AFTER) this.#backoff.reset();
    this.#liveSince = undefined;
    this.#options.onLost();
  }

  #wait({ reason, final }: Ending): void {
    if (!this.#options.isOnline()) {
      this.#become({ phase: "offline", reason: "no network" });
    } else if (final) {
      this.#become({ phase: "offline", reason });
    } else {
      const delay = this.#backoff.next();
      this.#timer = setTimeout(() => void this.#attempt(), delay);
      this.#become({ phase: "reconnecting", retryAt: Date.now() + delay, reason });
    }
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.#listeners.notify();
  }
}
