import type { BoardStore } from "../board/store";
import type { Clock } from "../clock";
import type { Connection } from "../live/connection";
import { Board } from "./Board";
import { ConnectionStatus } from "./ConnectionStatus";
import { Diagnostics } from "./Diagnostics";
import { Search } from "./Search";

interface Props {
  readonly store: BoardStore;
  readonly connection: Connection;
  readonly clock: Clock;
}

/** The page: a bar that stays, the board, and the diagnostics corner. */
export function App({ store, connection, clock }: Props) {
  return (
    <>
      <header className="bar">
        <div className="bar-inner">
          <div className="brand">
            <svg className="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
              <path d="M7 21l6-7 5 4 7-9" />
              <circle cx="25" cy="9" r="2.6" />
            </svg>
            <h1>
              Gamecast <span>odds board</span>
            </h1>
          </div>
          <Search store={store} />
          <ConnectionStatus connection={connection} clock={clock} />
        </div>
      </header>
      <main aria-label="Games">
        <Board store={store} clock={clock} />
      </main>
      <Diagnostics store={store} clock={clock} />
    </>
  );
}
