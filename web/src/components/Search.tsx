import { type ChangeEvent, useCallback, useSyncExternalStore } from "react";
import type { BoardStore } from "../board/store";

interface Props {
  readonly store: BoardStore;
}

/** The search box, and how many games it leaves. */
export function Search({ store }: Props) {
  const shown = useSyncExternalStore(store.subscribeList, store.visible).length;
  const total = useSyncExternalStore(
    store.subscribeList,
    useCallback(() => store.size, [store]),
  );
  const query = useSyncExternalStore(
    store.subscribeList,
    useCallback(() => store.query, [store]),
  );
  const search = useCallback(
    (event: ChangeEvent<HTMLInputElement>) => {
      store.search(event.target.value);
      // The first match, not where the longer list happened to be scrolled to.
      window.scrollTo({ top: 0 });
    },
    [store],
  );
  return (
    <search className="search">
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="7" cy="7" r="4.5" />
        <path d="M10.5 10.5L14 14" />
      </svg>
      <input
        type="search"
        value={query}
        onChange={search}
        placeholder="Search by name or id"
        aria-label="Search games by name or id"
        autoComplete="off"
        spellCheck={false}
        enterKeyHint="search"
        data-testid="search"
      />
      <output className="count" aria-label="Games shown" data-testid="count">
        {shown === total
          ? total.toLocaleString("en")
          : `${shown.toLocaleString("en")} of ${total.toLocaleString("en")}`}
      </output>
    </search>
  );
}
