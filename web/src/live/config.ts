/** What `/config.json` tells the page. */
export interface Config {
  /** The MQTT over WebSocket endpoint, `ws://` or `wss://`. */
  readonly mqttUrl: string;
}

/** Reads `config.json` beside the page, of the server that the page came from. Fails with a message for people. */
export async function loadConfig(fetchJson: typeof fetch = fetch): Promise<Config> {
  const response = await fetchJson("config.json", { cache: "no-store" }).catch(() => {
    throw new Error("the page's server does not answer");
  });
  if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
  const config: unknown = await response.json().catch(() => undefined);
  const mqttUrl = typeof config === "object" && config !== null && "mqttUrl" in config && config.mqttUrl;
  if (typeof mqttUrl !== "string" || !/^wss?:\/\//.test(mqttUrl)) {
    throw new Error("config.json has no mqttUrl that begins with ws:// or wss://");
  }
  return { mqttUrl };
}
