// Publishes an alert to Watchbell over RabbitMQ, and ends it. Needs amqplib.
//
//     node amqp-producer.js fire example-node-amqp ana
//     node amqp-producer.js resolve example-node-amqp
//
// Reads WATCHBELL_AMQP_URL and WATCHBELL_TENANT from its environment.

import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const EXCHANGE = "watchbell.alerts";
const TRIES_MAX = 8;
const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 30_000;
const CONFIRM_MAX_MS = 10_000;

/** Resolves once the broker has confirmed the alert. A program that publishes often keeps the connection. */
async function publish(url, alert) {
  let reason;
  for (let failed = 0; failed < TRIES_MAX; failed++) {
    if (failed > 0) await sleep(Math.random() * Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** failed));
    let connection;
    try {
      connection = await amqp.connect(url, { timeout: CONFIRM_MAX_MS });
      await confirmed(connection, alert);
      return;
    } catch (error) {
      // It may have arrived all the same. The id and the version stay, so that publishing again is harmless.
      reason = error.message;
    } finally {
      await connection?.close().catch(() => {}); // It may be closed already, which is why we are here.
    }
  }
  throw new Error(`${alert.id} was not confirmed: ${reason}`);
}

/** Publishes on a channel of its own and waits for the confirm. */
async function confirmed(connection, alert) {
  connection.on("error", () => {}); // What is under way hears of it below; without a listener Node would exit.
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  let returned = false;
  channel.on("return", () => (returned = true));
  const options = {
    mandatory: true, // An exchange without a queue gives it back, before the confirm, instead of dropping it.
    persistent: true,
    contentType: "application/json",
    messageId: `${alert.id}.${alert.version}`,
  };
  const confirm = new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify(alert));
    channel.publish(EXCHANGE, "", body, options, (error) => (error ? reject(error) : resolve()));
  });
  const tooLate = sleep(CONFIRM_MAX_MS, undefined, { ref: false }).then(() => {
    throw new Error("no confirm in time");
  });
  await Promise.race([confirm, tooLate]);
  if (returned) throw new Error("no queue took it");
}

const [action, id, ...users] = process.argv.slice(2);
const said = {
  tenant: process.env.WATCHBELL_TENANT,
  id,
  title: "Disk full on db-1",
  severity: "critical",
};
const alert =
  action === "fire"
    ? { ...said, version: 1, status: "firing", to: { users } }
    : // A later version needs no audience: it reaches everybody who holds the alert.
      { ...said, version: 2, status: "resolved", to: {} };
try {
  await publish(process.env.WATCHBELL_AMQP_URL, alert);
  console.log(`accepted ${id} version ${alert.version}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
