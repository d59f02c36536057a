// Subscribes with MQTT.js and prints what happens, one JSON object per line.
// node subscribe.mjs URL VERSION FILTER...   (version 4 is MQTT 3.1.1, 5 is MQTT 5.0)
import mqtt from "mqtt";

const [url, version, ...filters] = process.argv.slice(2);
const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const client = mqtt.connect(url, { protocolVersion: Number(version), reconnectPeriod: 200 });
client.on("connect", (connack) => {
  print({ event: "connected", sessionPresent: connack.sessionPresent, properties: connack.properties });
  client.subscribe(filters, { qos: 1 }, (error, granted) =>
    print(error ? { event: "error", message: error.message } : { event: "subscribed", granted }),
  );
});
client.on("message", (topic, payload, packet) =>
  print({ event: "message", topic, retain: packet.retain, payload: JSON.parse(payload.toString()) }),
);
client.on("error", (error) => print({ event: "error", message: error.message }));
client.on("close", () => print({ event: "closed" }));
process.stdin.on("end", () => process.exit(0)).resume();
