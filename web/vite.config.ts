import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** The fanout of a running demo, for the development server. */
const FANOUT = process.env.FANOUT ?? "http://localhost:8081";
/** The api of that demo, whose origin fanout allows; the proxy presents it instead of the development server's own. */
const PAGE_ORIGIN = process.env.PAGE_ORIGIN ?? "http://localhost:8080";

/** Answers `/config.json` in development with the proxied endpoint, where the api would name fanout itself. */
function developmentConfig(): Plugin {
  return {
    name: "gamecast-config",
    configureServer(server) {
      server.middlewares.use("/config.json", (request, response) => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ mqttUrl: `ws://${request.headers.host}/mqtt` }));
      });
    },
  };
}

export default defineConfig({
  plugins: [react(), developmentConfig()],
  // The page may be in a folder of its host: it names what it loads from where it is.
  base: "./",
  build: {
    target: "es2022",
    // React and MQTT.js, 180 kB when compressed: the page needs both before it can show anything.
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: {
      "/mqtt": { target: FANOUT, ws: true, headers: { origin: PAGE_ORIGIN } },
      "/games": PAGE_ORIGIN,
    },
  },
});
