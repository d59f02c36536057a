import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { parsePayload } from "./board/record";
import { BoardStore } from "./board/store";
import { Clock } from "./clock";
import { App } from "./components/App";
import { loadConfig } from "./live/config";
import { Connection } from "./live/connection";
import { openMqtt } from "./live/socket";
import "./styles/index.css";

const store = new BoardStore((flush) => requestAnimationFrame(flush));
const connection = new Connection({
  locate: async () => (await loadConfig()).mqttUrl,
  open: openMqtt,
  onMessage: (payload, live) => {
    const parsed = parsePayload(payload);
    if ("update" in parsed) store.receive(parsed.update, live);
    else store.reject(parsed.malformed);
  },
  onLost: () => store.markStale(),
  isOnline: () => navigator.onLine,
});
window.addEventListener("online", connection.connectNow);
window.addEventListener("offline", connection.verify);
connection.start();

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App store={store} connection={connection} clock={new Clock()} />
  </StrictMode>,
);
