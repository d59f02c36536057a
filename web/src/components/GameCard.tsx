import { memo, useCallback, useId, useSyncExternalStore } from "react";
import type { BoardStore } from "../board/store";
import type { Clock } from "../clock";
import { Age } from "./Age";
import { OddTile } from "./OddTile";

interface Props {
  readonly id: string;
  /** Place in the list, from 1; most of the list is not in the document. */
  readonly position: number;
  readonly total: number;
  readonly store: BoardStore;
  readonly clock: Clock;
}

/** One game. Draws again when this game changes, and for no other. */
export const GameCard = memo(function GameCard({ id, position, total, store, clock }: Props) {
  const heading = useId();
  const game = useSyncExternalStore(
    useCallback((callback) => store.subscribeGame(id, callback), [store, id]),
    useCallback(() => store.game(id), [store, id]),
  );
  if (game === undefined) return null;
  return (
    // biome-ignore lint/a11y/useSemanticElements: its list is not a <ul>, see Board
    <div
      className="card"
      role="listitem"
      aria-labelledby={heading}
      aria-setsize={total}
      aria-posinset={position}
      data-testid="game"
      data-game-id={game.id}
      data-stale={game.stale || undefined}
    >
      <h2 id={heading} title={game.name} data-testid="name">
        {game.name ?? `Game ${game.id}`}
      </h2>
      <p className="card-meta">
        {game.name !== undefined && <span className="card-id">{game.id}</span>}
        {game.updatedAt !== undefined && <Age at={game.updatedAt} clock={clock} />}
        {game.stale && (
          <span className="badge" data-testid="stale">
            Stale
          </span>
        )}
      </p>
      {game.odds.length === 0 ? (
        <p className="card-waiting">Waiting for the first odds</p>
      ) : (
        <dl className="odds">
          {game.odds.map((odd) => (
            <OddTile key={odd.column} odd={odd} />
          ))}
        </dl>
      )}
    </div>
  );
});
