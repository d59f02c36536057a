import mqtt, { type MqttClient } from "mqtt";

/** Silence after which the client asks whether the server is there, in seconds; 1.5 times this finds a dead one. */
const KEEP_ALIVE = 20;
/** How long the server may take to accept a connection, in ms. */
const CONNECT_TIMEOUT = 10_000;

/** What the connection uses of an MQTT client. */
export type Client = Pick<MqttClient, "on" | "subscribe" | "end">;

/**
 * Opens one MQTT 5 connection. It never reconnects: MQTT.js waits a fixed time between attempts, which would bring
 * every page back at once after a restart of the server.
 *
 * @param onSocketClose told the WebSocket close code and reason, which MQTT.js drops
 */
export function openMqtt(url: string, onSocketClose: (code: number, reason: string) => void): Client {
  return mqtt.connect(url, {
    protocolVersion: 5,
    clean: true,
    keepalive: KEEP_ALIVE,
    connectTimeout: CONNECT_TIMEOUT,
    reconnectPeriod: 0,
    resubscribe: false,
    // The keep-alive's timer in a worker would need blob: URLs in the page's Content-Security-Policy.
    timerVariant: "native",
    createWebsocket: (target, protocols) => {
      const socket = new WebSocket(target, protocols);
      socket.addEventListener("close", ({ code, reason }) => onSocketClose(code, reason));
      return socket;
    },
  });
}
