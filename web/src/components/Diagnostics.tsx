import { useEffect, useState } from "react";
import type { BoardStore } from "../board/store";
import type { Clock } from "../clock";

interface Props {
  readonly store: BoardStore;
  readonly clock: Clock;
}

/** The corner for those who run Gamecast: messages per second, and what could not be read. */
export function Diagnostics({ store, clock }: Props) {
  const { counters, rate } = useCounters(store, clock);
  const { received, malformed, lastMalformed } = counters;
  return (
    <details className="diagnostics" data-alert={malformed > 0 || undefined} data-testid="diagnostics">
      <summary>
        <span className="visually-hidden">Diagnostics: </span>
        {malformed > 0 ? `${malformed.toLocaleString("en")} malformed` : `${rate.toLocaleString("en")} msg/s`}
      </summary>
      <dl>
        <dt>Messages per second</dt>
        <dd>{rate.toLocaleString("en")}</dd>
        <dt>Messages</dt>
        <dd>{received.toLocaleString("en")}</dd>
        <dt>Malformed, ignored</dt>
        <dd data-testid="malformed">{malformed.toLocaleString("en")}</dd>
        {lastMalformed !== undefined && (
          <>
            <dt>Latest of them</dt>
            <dd>{lastMalformed}</dd>
          </>
        )}
      </dl>
    </details>
  );
}

/** The store's counters once a second, not with every message, and the rate since the time before. */
function useCounters(store: BoardStore, clock: Clock) {
  const [seen, setSeen] = useState(() => ({ counters: store.counters, rate: 0, at: clock.now() }));
  useEffect(() => {
    return clock.subscribe(() => {
      const counters = store.counters;
      const at = clock.now();
      setSeen((before) => ({
        counters,
        rate: Math.round(
          (counters.received - before.counters.received) / Math.max(1, (at - before.at) / 1_000),
        ),
        at,
      }));
    });
  }, [store, clock]);
  return seen;
}
