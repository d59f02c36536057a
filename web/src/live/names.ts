import { Backoff } from "./backoff";

/** Games per page; the most that the api gives. */
const PAGE = 1_000;
/** How long the api may take for a page, in ms. */
const PAGE_TIMEOUT = 10_000;
/** Games that show up together are asked for together: how long the first one waits for others, in ms. */
const GATHER = 2_000;
/** From the start of one reading to the start of the next, in ms at least. */
const INTERVAL = 10_000;

export interface NamesOptions {
  /** Names by game id, a page of the list at a time; some may be known already. */
  readonly onNames: (names: ReadonlyMap<string, string>) => void;
  readonly fetchJson?: typeof fetch;
  readonly backoff?: Backoff;
}

/**
 * Learns the names of games from the api's list. A game's records do not carry its name and follow the initial value
 * that does, so a page that is opened later never hears it.
 *
 * ```text
 * start() ----------------------------\              /--> onNames()
 * heard(): a game without a name       --> reading --
 *          --(GATHER, INTERVAL)-------/    ^         \--> failed: INTERVAL, then full jitter
 *                                          \____________________/
 * ```
 *
 * A name that is heard while the list is read may be newer than the list, and stays.
 */
export class Names {
  readonly #onNames: NamesOptions["onNames"];
  readonly #fetchJson: typeof fetch;
  readonly #backoff: Backoff;
  /** Games whose name is known, or that the api has been asked for and has no name of. */
  readonly #settled = new Set<string>();
  /** Games on the board that the api has yet to be asked for. */
  readonly #unknown = new Set<string>();
  /** Games whose name was heard since the latest reading began. */
  readonly #heard = new Set<string>();
  /** A reading is under way, or its time is set. */
  #planned = false;
  #startedAt = 0;

  constructor({ onNames, fetchJson = fetch, backoff = new Backoff() }: NamesOptions) {
    this.#onNames = onNames;
    this.#fetchJson = fetchJson;
    this.#backoff = backoff;
  }

  /** Reads the list for the first time. */
  start(): void {
    this.#planned = true;
    void this.#read();
  }

  /** Takes note of a message about a game, and of the name in it, if any. */
  heard(id: string, name: string | undefined): void {
    if (name !== undefined) {
      this.#heard.add(id);
      this.#settle(id);
    } else if (!this.#settled.has(id)) {
      this.#unknown.add(id);
      if (!this.#planned) this.#plan(Math.max(GATHER, this.#untilAllowed()));
    }
  }

  async #read(): Promise<void> {
    this.#startedAt = Date.now();
    this.#heard.clear();
    const asked = [...this.#unknown];
    try {
      for await (const page of readPages(this.#fetchJson)) this.#take(page);
    } catch {
      // Nobody is told: the board works without names, and the connection shows whether the servers are there.
      this.#plan(this.#untilAllowed() + this.#backoff.next());
      return;
    }
    this.#backoff.reset();
    this.#planned = false;
    // Those that are in no list either; those that showed up meanwhile are left to be asked for.
    for (const id of asked) this.#settle(id);
    if (this.#unknown.size > 0) this.#plan(Math.max(GATHER, this.#untilAllowed()));
  }

  #take(page: readonly Listed[]): void {
    const names = new Map<string, string>();
    for (const { id, displayName } of page) {
      this.#settle(id);
      // The api gives the id as the name of a game that has none.
      if (displayName !== id && !this.#heard.has(id)) names.set(id, displayName);
    }
    this.#onNames(names);
  }

  #settle(id: string): void {
    this.#settled.add(id);
    this.#unknown.delete(id);
  }

  #plan(wait: number): void {
    this.#planned = true;
    setTimeout(() => void this.#read(), wait);
  }

  /** How long the next reading has to wait, in ms. */
  #untilAllowed(): number {
    return Math.max(0, this.#startedAt + INTERVAL - Date.now());
  }
}

/** What the page reads of a game in the list. */
interface Listed {
  readonly id: string;
  readonly displayName: string;
}

/**
 * Reads `GET /games` of the server that the page came from, page by page. A server without the api (it answers 404, or
 * its start page) has no games to list; one that fails or is busy is an error.
 */
async function* readPages(fetchJson: typeof fetch): AsyncGenerator<readonly Listed[]> {
  let after: unknown;
  do {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (typeof after === "string") query.set("continue", after);
    const signal = AbortSignal.timeout(PAGE_TIMEOUT);
    const response = await fetchJson(`games?${query}`, { cache: "no-store", signal });
    if (response.status >= 500 || response.status === 429) throw new Error(`games: HTTP ${response.status}`);
    if (!response.ok || !response.headers.get("content-type")?.startsWith("application/json")) return;
    const list: unknown = await response.json();
    if (!isList(list)) throw new Error("games: not a list of games");
    yield list.items.filter(isListed);
    after = list.continue;
  } while (typeof after === "string");
}

function isList(body: unknown): body is { items: unknown[]; continue?: unknown } {
  return typeof body === "object" && body !== null && "items" in body && Array.isArray(body.items);
}

function isListed(item: unknown): item is Listed {
  if (typeof item !== "object" || item === null || !("id" in item && "displayName" in item)) return false;
  return typeof item.id === "string" && typeof item.displayName === "string" && item.displayName !== "";
}
