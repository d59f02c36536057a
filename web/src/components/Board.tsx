import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import type { BoardStore } from "../board/store";
import type { Clock } from "../clock";
import { EmptyBoard } from "./EmptyBoard";
import { GameCard } from "./GameCard";

interface Props {
  readonly store: BoardStore;
  readonly clock: Clock;
}

/** The narrowest a card may be, in rem: five odds of five characters fit beside each other. */
const MIN_CARD = 20;
/** The space between cards, in rem; as `--gap` in the style sheet. */
const GAP = 0.625;
/** What a row is taken for until it is measured, in px. */
const ROW_ESTIMATE = 118;
/** Rows drawn above and below the window, so that scrolling finds them there. */
const OVERSCAN = 4;

/** The grid of cards. Only the rows near the window are in the document. */
export function Board({ store, clock }: Props) {
  const ids = useSyncExternalStore(store.subscribeList, store.visible);
  const grid = useRef<HTMLDivElement>(null);
  const { columns, top } = useGridLayout(grid);
  const rows = useWindowVirtualizer({
    count: Math.ceil(ids.length / columns),
    estimateSize: () => ROW_ESTIMATE,
    overscan: OVERSCAN,
    scrollMargin: top,
  });
  return (
    <>
      {ids.length === 0 && <EmptyBoard store={store} />}
      {/* biome-ignore lint/a11y/useSemanticElements: a <ul> must not hold the rows that virtualisation needs */}
      <div ref={grid} className="grid" role="list" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((row) => (
          <div
            key={row.key}
            ref={rows.measureElement}
            data-index={row.index}
            className="row"
            style={{
              gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
              transform: `translateY(${row.start - top}px)`,
            }}
          >
            {ids.slice(row.index * columns, (row.index + 1) * columns).map((id, column) => (
              <GameCard
                key={id}
                id={id}
                position={row.index * columns + column + 1}
                total={ids.length}
                store={store}
                clock={clock}
              />
            ))}
          </div>
        ))}
      </div>
    </>
  );
}

/** How many cards fit beside each other, and where the grid begins on the page, in px. */
function useGridLayout(grid: React.RefObject<HTMLDivElement | null>) {
  const [layout, setLayout] = useState({ columns: 1, top: 0 });
  useLayoutEffect(() => {
    const element = grid.current;
    if (element === null) return;
    const measure = () => {
      const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
      const columns = Math.max(1, Math.floor((element.clientWidth / rem + GAP) / (MIN_CARD + GAP)));
      const top = element.offsetTop;
      setLayout((before) => (before.columns === columns && before.top === top ? before : { columns, top }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [grid]);
  return layout;
}
