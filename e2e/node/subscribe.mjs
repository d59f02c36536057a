// Subscribes with MQTT.js and prints what happens, one JSON object per line.
// node subscribe.mjs URL VERSION [positions=A,B] FILTER...   (version 4 is MQTT 3.1.1, 5 is MQTT 5.0)
// With `positions=` messages carry positions, and the client resumes from those that it names.
import mqtt from "mqtt";

const [url, version, ...rest] = process.argv.slice(2);
const filters = rest.filter((argument) => !argument.startsWith("positions="));
const resume = rest.find((argument) => argument.startsWith("positions="))?.slice("positions=".length);
const positions = (resume ?? "").split(",").filter(Boolean);
const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const client = mqtt.connect(url, {
  protocolVersion: Number(version),
  reconnectPeriod: 200,
  ...(resume !== undefined && { properties: { userProperties: { positions: "1" } } }),
});
client.on("connect", (connack) => {
  print({ event: "connected", sessionPresent: connack.sessionPresent, properties: connack.properties });
  const properties = positions.length > 0 ? { userProperties: { position: positions } } : undefined;
  client.subscribe(filters, { qos: 1, properties }, (error, granted) =>
    print(error ? { event: "error", message: error.message } : { event: "subscribed", granted }),
  );
});
client.on("message", (topic, payload, packet) =>
  print({
    event: "message",
    topic,
    retain: packet.retain,
    payload: JSON.parse(payload.toString()),
    user: packet.properties?.userProperties ?? {},
  }),
);
client.on("error", (error) => print({ event: "error", message: error.message }));
client.on("disconnect", ({ reasonCode }) => print({ event: "disconnect", reasonCode }));
client.on("close", () => print({ event: "closed" }));
process.stdin.on("end", () => process.exit(0)).resume();
