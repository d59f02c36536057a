import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { parsePayload } from "./board/record";
import { BoardStore } from "./board/store";
import { Clock } from "./clock";
import { App } from "./components/App";
import { loadConfig } from "./live/config";
import { Connection } from "./live/connection";
import { Names } from "./live/names";
import { openMqtt } from "./live/socket";
import "./styles/index.css";

const store = new BoardStore((flush) => requestAnimationFrame(flush));
const names = new Names({ onNames: (some) => store.rename(some) });
const connection = new Connection({
  locate: async () => (await loadConfig()).mqttUrl,
  open: openMqtt,
  onMessage: (payload, live) => {
    const parsed = parsePayload(payload);
    if ("malformed" in parsed) {
      store.reject(parsed.malformed);
    } else {
      names.heard(parsed.update.gameId, parsed.update.name);
      store.receive(parsed.update, live);
    }
  },
  onLost: () => store.markStale(),
  isOnline: () => navigator.onLine,
});
window.addEventListener("online", connection.connectNow);
window.addEventListener("offline", connection.verify);
names.start();
connection.start();

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App store={store} connection={connection} clock={new Clock()} />
  </StrictMode>,
);
