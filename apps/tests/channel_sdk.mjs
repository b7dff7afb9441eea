// Sends events with the CloudEvents SDK of JavaScript, in each mode, and reads with it what comes out: one JSON line.
// node channel_sdk.mjs FOLDER URL: the SDK is installed in FOLDER, the channel server listens at URL.
import { createRequire } from "node:module";

const [folder, base] = process.argv.slice(2);
const { CloudEvent, HTTP } = createRequire(`${folder}/`)("cloudevents");

async function ask(path, options) {
  const answer = await fetch(base + path, { signal: AbortSignal.timeout(20_000), ...options });
  if (!answer.ok) throw new Error(`${options?.method ?? "GET"} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

await ask("/channels/default/consumers/sdk", { method: "PUT", body: "{}" });
for (const [id, form] of [["binary", HTTP.binary], ["structured", HTTP.structured]]) {
  const event = new CloudEvent({ id, source: "/sdk", type: "load.changed", subject: "cpu", zone: "east", data: { of: id } });
  const { headers, body } = form(event);
  await ask("/events", { method: "POST", headers, body });
}
const batch = [1, 2].map((number) =>
  new CloudEvent({ id: `batch ${number}`, source: "/sdk", type: "load.changed", zone: "east", data: { of: number } }).toJSON());
await ask("/events", {
  method: "POST",
  headers: { "content-type": "application/cloudevents-batch+json" },
  body: JSON.stringify(batch),
});

const answer = await ask("/channels/default/events?consumer=sdk&wait=5");
const headers = Object.fromEntries(answer.headers);
const events = HTTP.toEvent({ headers, body: await answer.text() });
console.log(JSON.stringify(events.map(({ id, source, type, subject, zone, data }) => ({ id, source, type, subject, zone, data }))));
