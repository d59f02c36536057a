import { expect, test } from "vitest";
import { loadConfig } from "./config";

const answer = (body: string, status = 200) => loadConfig(async () => new Response(body, { status }));

test("tells where fanout is", async () => {
  await expect(answer('{"mqttUrl":"ws://host:8081/mqtt"}')).resolves.toEqual({
    mqttUrl: "ws://host:8081/mqtt",
  });
});

test.each([
  ["<html>", 200, "mqttUrl"],
  ["null", 200, "mqttUrl"],
  ["{}", 200, "mqttUrl"],
  ['{"mqttUrl":"http://host/mqtt"}', 200, "mqttUrl"],
  ["", 503, "HTTP 503"],
])("%j with status %d fails with a reason", async (body, status, reason) => {
  await expect(answer(body, status)).rejects.toThrow(reason);
});

test("a server that does not answer is named as the reason", async () => {
  await expect(loadConfig(() => Promise.reject(new TypeError("fetch failed")))).rejects.toThrow(
    "does not answer",
  );
});
