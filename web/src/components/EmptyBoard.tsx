import { useCallback, useSyncExternalStore } from "react";
import type { BoardStore } from "../board/store";

interface Props {
  readonly store: BoardStore;
}

/** Says why there is no card to see. */
export function EmptyBoard({ store }: Props) {
  const query = useSyncExternalStore(
    store.subscribeList,
    useCallback(() => store.query, [store]),
  );
  return (
    <div className="empty" data-testid="empty">
      {query === "" ? (
        <>
          <p>No games yet</p>
          <p>A game shows here as soon as it is created.</p>
        </>
      ) : (
        <>
          <p>No game matches “{query}”</p>
          <button type="button" onClick={() => store.search("")}>
            Show all games
          </button>
        </>
      )}
    </div>
  );
}
