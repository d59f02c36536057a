import { Listeners } from "../listeners";
import { apply, type Game } from "./game";
import { insertSorted } from "./order";
import type { Update } from "./record";
import { matcher } from "./search";

/** Counters since the page was opened. */
export interface Counters {
  readonly received: number;
  readonly malformed: number;
  /** Why the latest malformed payload was refused. */
  readonly lastMalformed: string | undefined;
}

/** Runs a callback once, soon; `requestAnimationFrame` on the page. */
export type Schedule = (flush: () => void) => void;

interface Pending {
  readonly update: Update;
  readonly live: boolean;
  readonly receivedAt: number;
}

/**
 * The board's state, outside React.
 *
 * ```text
 * receive() --> pending: the latest per game --(once per frame)--> flush() --> the cards of changed games
 *                                                                         \-> the list, if it changed
 * ```
 *
 * Between two frames only the latest update of a game is kept, so a burst, or a tab in the background whose frames
 * do not run, costs at most one entry per game.
 */
export class BoardStore {
  readonly #schedule: Schedule;
  readonly #now: () => number;
  readonly #games = new Map<string, Game>();
  readonly #cards = new Map<string, Listeners>();
  readonly #list = new Listeners();
  readonly #pending = new Map<string, Pending>();
  /** Names of games that are not on the board yet. */
  readonly #namesAhead = new Map<string, string>();
  #order: readonly string[] = [];
  #visible: readonly string[] = [];
  #query = "";
  #counters: Counters = { received: 0, malformed: 0, lastMalformed: undefined };

  /** @param now the time in ms since the epoch */
  constructor(schedule: Schedule, now: () => number = Date.now) {
    this.#schedule = schedule;
    this.#now = now;
  }

  /** Takes an update in; it shows with the next frame. `live` is false for a snapshot value. */
  receive(update: Update, live: boolean): void {
    this.#counters = { ...this.#counters, received: this.#counters.received + 1 };
    if (this.#pending.size === 0) this.#schedule(() => this.#flush());
    const earlier = this.#pending.get(update.gameId);
    const name = update.name ?? earlier?.update.name ?? this.#namesAhead.get(update.gameId);
    // From here on the game carries its name, and may be given another.
    this.#namesAhead.delete(update.gameId);
    this.#pending.set(update.gameId, {
      update: name === undefined ? update : { ...update, name },
      live: live || (earlier?.live ?? false),
      receivedAt: this.#now(),
    });
  }

  /** Names games by id, also those that are yet to come. A name in a later update replaces these. */
  rename(names: ReadonlyMap<string, string>): void {
    let renamed = false;
    for (const [id, name] of names) {
      const pending = this.#pending.get(id);
      const game = this.#games.get(id);
      if (pending !== undefined) {
        this.#pending.set(id, { ...pending, update: { ...pending.update, name } });
      } else if (game === undefined) {
        this.#namesAhead.set(id, name);
      } else if (game.name !== name) {
        this.#replace(id, { ...game, name });
        renamed = true;
      }
    }
    if (renamed && this.#query !== "") this.#relist();
  }

  /** Counts a payload that could not be read. */
  reject(reason: string): void {
    const { received, malformed } = this.#counters;
    this.#counters = { received: received + 1, malformed: malformed + 1, lastMalformed: reason };
  }

  /** Marks every game stale, until something is heard of it again. */
  markStale(): void {
    this.#flush();
    for (const [id, game] of this.#games) {
      if (!game.stale) this.#replace(id, { ...game, stale: true });
    }
  }

  /** Shows only games whose id or name match; a blank query shows all. */
  search(query: string): void {
    if (query === this.#query) return;
    this.#query = query;
    this.#relist();
  }

  get query(): string {
    return this.#query;
  }

  get counters(): Counters {
    return this.#counters;
  }

  /** How many games are known, whether the search shows them or not. */
  get size(): number {
    return this.#games.size;
  }

  /** The ids to show, in order. The same array until it changes. */
  readonly visible = (): readonly string[] => this.#visible;

  /** Calls back when the visible ids, the query or the number of games changed. */
  readonly subscribeList = this.#list.subscribe;

  game(id: string): Game | undefined {
    return this.#games.get(id);
  }

  /** Calls back when this one game changed. */
  subscribeGame(id: string, callback: () => void): () => void {
    let listeners = this.#cards.get(id);
    if (listeners === undefined) {
      listeners = new Listeners();
      this.#cards.set(id, listeners);
    }
    return listeners.subscribe(callback);
  }

  #flush(): void {
    const added: string[] = [];
    let renamed = false;
    // Taken out first: a listener may cause the next receive().
    const batch = [...this.#pending];
    this.#pending.clear();
    for (const [id, { update, live, receivedAt }] of batch) {
      const known = this.#games.get(id);
      const game = apply(known, update, live, receivedAt);
      if (known === undefined) added.push(id);
      renamed ||= known?.name !== game.name;
      this.#replace(id, game);
    }
    if (added.length > 0) this.#order = insertSorted(this.#order, added);
    if (added.length > 0 || (renamed && this.#query !== "")) this.#relist();
  }

  #replace(id: string, game: Game): void {
    this.#games.set(id, game);
    this.#cards.get(id)?.notify();
  }

  #relist(): void {
    const matches = matcher(this.#query);
    this.#visible = matches ? this.#order.filter((id) => this.#matches(id, matches)) : this.#order;
    this.#list.notify();
  }

  #matches(id: string, matches: (game: Game) => boolean): boolean {
    const game = this.#games.get(id);
    return game !== undefined && matches(game);
  }
}
