// Publishes an alert to Watchbell over HTTP, and ends it. Needs Node 20 and nothing else.
//
//     node http-producer.js fire example-node-http ana
//     node http-producer.js resolve example-node-http
//
// Reads WATCHBELL_URL and WATCHBELL_KEY from its environment.

import { setTimeout as sleep } from "node:timers/promises";

const TRIES_MAX = 8;
const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 30_000;
const TIMEOUT_MS = 10_000;
// Nothing that comes from us: the alert may or may not have been accepted, and publishing it again is harmless.
const TRY_AGAIN = new Set([429, 502, 503, 504]);

/** Resolves once the alert is durable (202). Every try has the same id, so however many arrive, it is told once. */
async function publish(url, key, alert) {
  let reason;
  let wait = 0;
  for (let failed = 0; failed < TRIES_MAX; failed++) {
    if (failed > 0) await sleep(wait);
    wait = Math.random() * Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** failed);
    let response, text;
    try {
      response = await fetch(new URL("/v1/alerts", url), {
        method: "POST",
        headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        body: JSON.stringify(alert),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      text = await response.text();
    } catch (error) {
      reason = error.cause?.message ?? error.message;
      continue;
    }
    if (response.status === 202) return JSON.parse(text);
    reason = `${response.status} ${problemOf(text) ?? response.statusText}`;
    // What is wrong with the alert stays wrong: `field` and `detail` say what it is.
    if (!TRY_AGAIN.has(response.status)) break;
    const retryAfter = Number(response.headers.get("Retry-After"));
    if (retryAfter > 0) wait += Math.min(WAIT_MAX_MS, retryAfter * 1000); // Never sooner than we were asked to.
  }
  throw new Error(`${alert.id} was not accepted: ${reason}`);
}

/** What the answer says is wrong, in one line. Nothing when it is not from Watchbell, such as a page of a proxy. */
function problemOf(text) {
  try {
    const { field, detail } = JSON.parse(text);
    return field ? `${field}: ${detail}` : detail;
  } catch {
    return undefined;
  }
}

const [action, id, ...users] = process.argv.slice(2);
const said = { id, title: "Disk full on db-1", severity: "critical" };
const alert =
  action === "fire"
    ? { ...said, version: 1, status: "firing", to: { users } }
    : // A later version needs no audience: it reaches everybody who holds the alert.
      { ...said, version: 2, status: "resolved", to: {} };
try {
  const answer = await publish(process.env.WATCHBELL_URL, process.env.WATCHBELL_KEY, alert);
  console.log(`accepted ${answer.id} version ${answer.version}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
