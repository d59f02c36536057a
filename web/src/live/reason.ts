import mqtt from "mqtt";

/**
 * MQTT 5 reason codes (section 2.4) after which the same request fails the same way: the page waits for a person
 * instead of asking again and again.
 */
const FINAL: ReadonlySet<number> = new Set([
  0x84, // unsupported protocol version
  0x85, // client identifier not valid
  0x86, // bad user name or password
  0x87, // not authorized
  0x8a, // banned
  0x8c, // bad authentication method
  0x8f, // topic filter invalid
  0x9d, // server moved
  0xa2, // wildcard subscriptions not supported
]);

/** Why a connection ended. */
export interface Ending {
  /** A few words for people. */
  readonly reason: string;
  /** Trying again by itself makes no sense. */
  readonly final: boolean;
}

/** The ending that a DISCONNECT packet's reason code tells. */
export function disconnected(code: number | undefined): Ending {
  const text = mqtt.ReasonCodes[(code ?? 0) as keyof typeof mqtt.ReasonCodes];
  return { reason: text ? text.toLowerCase() : "closed by the server", final: isFinal(code) };
}

/** The ending that an error of the client tells; refusals by the server carry a reason code. */
export function failed(error: Error): Ending {
  const code = "code" in error && typeof error.code === "number" ? error.code : undefined;
  return { reason: error.message, final: isFinal(code) };
}

/** The ending that a WebSocket close tells. 1006 is the browser's own, for a connection that nobody closed. */
export function socketClosed(code: number, reason: string): Ending {
  if (code === 1006) return { reason: "server unreachable", final: false };
  return { reason: reason || `closed by the server (${code})`, final: false };
}

function isFinal(code: number | undefined): boolean {
  return code !== undefined && FINAL.has(code);
}
