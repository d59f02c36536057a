import { useCallback, useSyncExternalStore } from "react";
import { age } from "../age";
import type { Clock } from "../clock";

interface Props {
  /** ms since the epoch */
  readonly at: number;
  readonly clock: Clock;
}

/** How long ago the odds were written. Draws again only when the text changes. */
export function Age({ at, clock }: Props) {
  const text = useSyncExternalStore(
    clock.subscribe,
    useCallback(() => age(at, clock.now()), [at, clock]),
  );
  const date = new Date(at);
  return (
    <time
      className="age"
      dateTime={date.toISOString()}
      title={`Updated ${date.toLocaleString()}`}
      data-testid="age"
    >
      {text === "now" ? text : `${text} ago`}
    </time>
  );
}
