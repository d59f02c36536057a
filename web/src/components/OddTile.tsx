import { memo, useState } from "react";
import type { Direction, Odd } from "../board/game";

interface Props {
  readonly odd: Odd;
}

/** One odd: its column's name, its value and how it last changed. */
export const OddTile = memo(function OddTile({ odd }: Props) {
  // Changes from before the tile was drawn are old news: a card that is scrolled into view does not flash.
  const [drawnAt] = useState(odd.pulse);
  // The parity names one of two equal animations: changing it is what starts the flash anew.
  const pulse = odd.pulse === drawnAt ? undefined : odd.pulse % 2;
  return (
    <div className="odd" data-direction={odd.direction} data-pulse={pulse}>
      <dt>
        <span title={odd.column}>{odd.column}</span>
        <Trend direction={odd.direction} />
      </dt>
      <dd data-column={odd.column} title={odd.value}>
        {odd.value}
      </dd>
    </div>
  );
});

const SHAPES: Record<Exclude<Direction, "none">, { readonly path: string; readonly label: string }> = {
  up: { path: "M5 1l4.5 7h-9z", label: "up" },
  down: { path: "M5 9L.5 2h9z", label: "down" },
  changed: { path: "M5 1l4 4-4 4-4-4z", label: "changed" },
};

function Trend({ direction }: { readonly direction: Direction }) {
  if (direction === "none") return null;
  const { path, label } = SHAPES[direction];
  return (
    <svg className="odd-trend" viewBox="0 0 10 10" role="img" aria-label={label}>
      <path d={path} />
    </svg>
  );
}
