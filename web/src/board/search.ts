import type { Game } from "./game";

const MARKS = /\p{Mark}/gu;

/** Text without case and accents: `Grêmio` is found by `gremio`. */
function fold(text: string): string {
  return text.normalize("NFD").replace(MARKS, "").toLowerCase();
}

/** Whether a game's id and name together hold every word of the query; `undefined` for a blank query. */
export function matcher(query: string): ((game: Game) => boolean) | undefined {
  const words = fold(query).split(/\s+/).filter(Boolean);
  if (words.length === 0) return undefined;
  return (game) => {
    const text = fold(`${game.id} ${game.name ?? ""}`);
    return words.every((word) => text.includes(word));
  };
}
