import { useCallback, useSyncExternalStore } from "react";
import type { Clock } from "../clock";
import type { Connection, ConnectionState } from "../live/connection";

interface Props {
  readonly connection: Connection;
  readonly clock: Clock;
}

/** The state of the connection: a pill that counts down, and an announcement that does not. */
export function ConnectionStatus({ connection, clock }: Props) {
  const state = useSyncExternalStore(connection.subscribe, connection.state);
  const label = useSyncExternalStore(
    clock.subscribe,
    useCallback(() => describe(state, clock.now()), [state, clock]),
  );
  const waiting = state.phase === "reconnecting" || state.phase === "offline";
  return (
    <div className="status" data-phase={state.phase} data-testid="connection">
      <span className="status-label">
        <span className="status-dot" aria-hidden="true" />
        <span>{label}</span>
      </span>
      {waiting && (
        <>
          <span className="status-reason" title={state.reason}>
            {state.reason}
          </span>
          <button type="button" onClick={connection.connectNow}>
            Try now
          </button>
        </>
      )}
      <span className="visually-hidden" aria-live="polite">
        {announce(state)}
      </span>
    </div>
  );
}

function describe(state: ConnectionState, now: number): string {
  switch (state.phase) {
    case "connecting":
      return "Connecting…";
    case "live":
      return "Live";
    case "reconnecting":
      return `Reconnecting in ${Math.max(0, Math.ceil((state.retryAt - now) / 1_000))} s`;
    case "offline":
      return "Offline";
  }
}

/** Does not change while attempts come and go, so that a screen reader speaks once per loss. */
function announce(state: ConnectionState): string {
  switch (state.phase) {
    case "connecting":
      return state.retry ? "Connection lost, reconnecting. Odds may be out of date." : "Connecting.";
    case "live":
      return "Live.";
    case "reconnecting":
      return "Connection lost, reconnecting. Odds may be out of date.";
    case "offline":
      return `Offline: ${state.reason}. Odds may be out of date.`;
  }
}
