import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Where the development server finds a running demo. */
const FANOUT = "http://localhost:8081";
/** The origin that the demo's fanout allows; the proxy presents it instead of the development server's. */
const PAGE_ORIGIN = "http://localhost:8080";

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
  build: { target: "es2022" },
  server: {
    proxy: { "/mqtt": { target: FANOUT, ws: true, headers: { origin: PAGE_ORIGIN } } },
  },
});
