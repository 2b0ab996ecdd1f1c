/** The page that the browser tests drive: the element and the hooks over one session, and a record of what they showed. */
import { Watchbell } from "@watchbell/client";
import "@watchbell/inbox";
import { WatchbellProvider, useAlerts, useConnection, useTopic, useUnread } from "@watchbell/react";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);
const token = asked.get("token") ?? "";
const client = new Watchbell({
  token: () => token,
  tabs: asked.has("alone") ? false : (asked.get("user") ?? ""),
  backoff: { attemptsMax: Infinity, waitMs: (attempt, random) => random() * Math.min(2_000, 200 * 2 ** attempt) },
});
window.client = client;
window.statuses = [];
window.toasts = [];
window.changes = [];
window.events = [];
client.subscribe(() => {
  const { status, alerts } = client.snapshot;
  if (window.statuses[window.statuses.length - 1] !== status) window.statuses.push(status);
  window.changes.push({ at: performance.timeOrigin + performance.now(), states: Object.fromEntries(alerts.map((row) => [row.alert.id, row.state])) });
});
client.on("alert", ({ row, here }) => here && window.toasts.push(row.alert.id));

const inbox = document.querySelector("watchbell-inbox");
if (inbox) {
  for (const name of ["lang", "theme", "manual-seen", "push-worker"]) if (asked.has(name)) inbox.setAttribute(name, asked.get(name) ?? "");
  inbox.client = client;
}
client.start();

function Hooks() {
  const { alerts, dismiss } = useAlerts();
  const { status } = useConnection();
  const unread = useUnread();
  const events = useTopic("monitor:7");
  window.events = [...events];
  return (
    <section aria-label="Hooks">
      <p id="hooks">{status} {unread}</p>
      {alerts.map(({ alert, state }) => <button key={alert.id} data-state={state} onClick={() => dismiss(alert.id)}>{alert.title}</button>)}
    </section>
  );
}

window.mount = () => {
  const node = document.getElementById("react");
  if (node) createRoot(node).render(<WatchbellProvider client={client}><Hooks /></WatchbellProvider>);
};
