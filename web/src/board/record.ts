/** One column of a record, as text to show. */
export interface Column {
  readonly column: string;
  readonly value: string;
}

/** What one payload says about one game. */
export interface Update {
  readonly gameId: string;
  /** Known from a game's initial value only; records do not carry it. */
  readonly name?: string;
  /** Empty for a game that has no row yet. */
  readonly columns: readonly Column[];
  /** When the row was written, in milliseconds since the epoch, by the database's clock. */
  readonly createdAt?: number;
}

/** A payload is either an update or malformed, with the reason in a few words. */
export type Parsed = { readonly update: Update } | { readonly malformed: string };

/** Columns that every game table has; they describe the row and are not odds. */
const ROW_COLUMNS: ReadonlySet<string> = new Set(["row_id", "game_id", "created_at"]);

/**
 * Reads a record (`{"row_id":1,"game_id":"123121","odd1":"0.32",…,"created_at":"…Z"}`) or a game's initial value
 * (`{"game_id":"123121","name":"Flamengo x Palmeiras"}`). The two differ by `row_id`: in a record, `name` is a
 * column like any other.
 */
export function parsePayload(payload: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return { malformed: "not JSON" };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { malformed: "not a JSON object" };
  }
  const fields = new Map<string, unknown>(Object.entries(value));
  const gameId = fields.get("game_id");
  if (typeof gameId !== "string" || gameId === "") {
    return { malformed: "no game_id" };
  }
  const name = fields.has("row_id") ? undefined : takeName(fields);
  const createdAt = timestamp(fields.get("created_at"));
  const columns = [...fields]
    .filter(([column]) => !ROW_COLUMNS.has(column))
    .map(([column, sent]) => ({ column, value: asText(sent) }));
  return {
    update: {
      gameId,
      columns,
      ...(name !== undefined && { name }),
      ...(createdAt !== undefined && { createdAt }),
    },
  };
}

function takeName(fields: Map<string, unknown>): string | undefined {
  const name = fields.get("name");
  if (typeof name !== "string" || name === "") return undefined;
  fields.delete("name");
  return name;
}

function timestamp(value: unknown): number | undefined {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** The value as it was sent; SQL NULL as a dash. */
function asText(value: unknown): string {
  if (value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
