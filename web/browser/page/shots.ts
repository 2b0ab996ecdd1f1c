/** A page with the inbox over a session that is made up, in the state that its address asks for: for pictures, and for tests of 10,000 alerts. */
import type { Snapshot } from "@watchbell/client";
import "@watchbell/inbox";
import { PageSession, someAlerts } from "./session.ts";

declare global {
  interface Window {
    isReady?: boolean;
    session?: PageSession;
  }
}

const asked = new URLSearchParams(location.search);
const rtl = asked.get("lang") === "ar";
if (rtl) document.documentElement.dir = "rtl";
document.documentElement.style.colorScheme = asked.get("theme") ?? "light";
document.body.setAttribute("style", "margin: 0; font: 14px system-ui, sans-serif; background: light-dark(#eef1f6, #10131a); color: light-dark(#1b1f27, #eceef3)");
const main = document.createElement("main");
main.setAttribute("style", {
  left: "padding: 1rem; min-height: 100vh",
  bottom: "position: fixed; bottom: 1rem; right: 1rem",
}[asked.get("bell") ?? ""] ?? "display: flex; justify-content: flex-end; padding: 1rem");
const inbox = document.createElement("watchbell-inbox");
for (const name of ["lang", "theme"]) if (asked.has(name)) inbox.setAttribute(name, asked.get(name) ?? "");
inbox.setAttribute("manual-seen", "");
inbox.setAttribute("push-worker", "/push-worker.js");
main.append(inbox);
document.body.append(main);

const alerts = someAlerts(rtl);
const session = new PageSession(asked.has("none") ? [] : asked.has("few") ? alerts.slice(3, 4) : alerts);
window.session = session;
if (asked.has("loading")) session.become({ loaded: false });
const reason = asked.get("reason") as Snapshot["reason"];
if (reason) session.become({ status: reason === "offline" || reason === "unreachable" ? "offline" : "closed", reason });
inbox.client = session.client;

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
const press = (name: string) => inbox.shadowRoot?.querySelector<HTMLElement>(`[data-control="${name}"]`)?.click();
async function settle(): Promise<void> {
  for (let frames = 0; frames < 12; frames++) await frame();
}

async function show(): Promise<void> {
  await settle();
  if (asked.has("toasts")) for (const row of alerts.slice(0, 5)) session.news(row);
  else inbox.toggle(true);
  await settle();
  for (const name of ["settings", "help", "find", "select"]) if (asked.has(name)) press(name);
  await settle();
  if (asked.has("find")) {
    const search = inbox.shadowRoot?.querySelector<HTMLInputElement>("[type=search]");
    if (search) {
      search.value = "check";
      search.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
    }
  }
  if (asked.has("select")) for (const box of [...inbox.shadowRoot?.querySelectorAll<HTMLElement>("input[data-do=select]") ?? []].slice(0, 2)) box.click();
  await new Promise((resolve) => setTimeout(resolve, 400));
  await settle();
  window.isReady = true;
}
void show();
