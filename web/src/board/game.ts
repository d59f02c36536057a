import type { Column, Update } from "./record";

/** How an odd last changed; `changed` is for text and for numbers that have no order with what was there. */
export type Direction = "none" | "up" | "down" | "changed";

/** One odd as the board shows it. */
export interface Odd extends Column {
  readonly direction: Direction;
  /** Counts the changes that flash, so that an equal change right after another one flashes again. */
  readonly pulse: number;
}

/** What the board knows of one game. Replaced, never changed, so that identity tells whether to draw. */
export interface Game {
  readonly id: string;
  readonly name: string | undefined;
  readonly odds: readonly Odd[];
  /** When the odds were written (by the row's `created_at`, else when they arrived), ms since the epoch. */
  readonly updatedAt: number | undefined;
  /** Nothing has confirmed this game since the connection was lost. */
  readonly stale: boolean;
}

/**
 * The game after an update. Odds are replaced, a known name is kept. Only live updates flash: a snapshot value
 * tells what is, not what just happened.
 *
 * @param receivedAt when the update arrived, ms since the epoch
 */
export function apply(known: Game | undefined, update: Update, live: boolean, receivedAt: number): Game {
  return {
    id: update.gameId,
    name: update.name ?? known?.name,
    odds: update.columns.map((column, index) => {
      const before = known && find(known.odds, column.column, index);
      return next(before, column, live);
    }),
    updatedAt: update.columns.length > 0 ? (update.createdAt ?? receivedAt) : undefined,
    stale: false,
  };
}

/** Looks at the same place first: the columns of a table keep their order. */
function find(odds: readonly Odd[], column: string, index: number): Odd | undefined {
  const expected = odds[index];
  return expected?.column === column ? expected : odds.find((odd) => odd.column === column);
}

function next(before: Odd | undefined, { column, value }: Column, live: boolean): Odd {
  if (before === undefined) return { column, value, direction: "none", pulse: 0 };
  if (before.value === value) return before;
  const direction = compare(before.value, value);
  // 0.5 and 0.50: another text, the same odd.
  if (direction === "none") return { ...before, value };
  return { column, value, direction, pulse: live ? before.pulse + 1 : before.pulse };
}

/** Compares as numbers where both are numbers. */
export function compare(before: string, after: string): Direction {
  const from = toNumber(before);
  const to = toNumber(after);
  if (Number.isNaN(from) || Number.isNaN(to)) return before === after ? "none" : "changed";
  if (to > from) return "up";
  return to < from ? "down" : "none";
}

/** `Number`, but without its zero for blank text. */
function toNumber(text: string): number {
  return text.trim() === "" ? Number.NaN : Number(text);
}
