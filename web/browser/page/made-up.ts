/** A page with the inbox over a session that is made up, in the state that its address asks for: for pictures, and for tests of 10,000 alerts. */
import type { Snapshot } from "@watchbell/client";
import { registerLanguage } from "@watchbell/inbox";
import { PageSession, aRow, alertsToTakeOn, manyAlerts, someAlerts } from "./session.ts";

declare global {
  interface Window {
    isReady?: boolean;
    session: PageSession;
    inbox: HTMLElementTagNameMap["watchbell-inbox"];
    /** What tests make more of. */
    made: { PageSession: typeof PageSession; aRow: typeof aRow; manyAlerts: typeof manyAlerts; registerLanguage: typeof registerLanguage };
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
window.inbox = inbox;
window.made = { PageSession, aRow, manyAlerts, registerLanguage };
for (const name of ["lang", "theme", "inline"]) if (asked.has(name)) inbox.setAttribute(name, asked.get(name) ?? "");
inbox.setAttribute("manual-seen", "");
inbox.setAttribute("push-worker", "/push-worker.js");
main.append(inbox);
document.body.append(main);

const alerts = asked.has("take") ? alertsToTakeOn() : someAlerts(rtl);
const count = Number(asked.get("count"));
const session = new PageSession(asked.has("none") ? [] : asked.has("few") ? alerts.slice(3, 4) : count ? manyAlerts(count) : alerts);
window.session = session;
if (asked.has("loading")) session.become({ loaded: false });
const reason = asked.get("reason") as Snapshot["reason"];
if (reason) session.become({ status: reason === "offline" || reason === "unreachable" ? "offline" : "closed", reason });
inbox.client = session.client;

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
/** For a picture everything has come to rest. */
const isPicture = asked.has("picture");
const press = (name: string) => inbox.shadowRoot?.querySelector<HTMLElement>(`[data-control="${name}"]`)?.click();
async function settle(): Promise<void> {
  for (let frames = 0; frames < (isPicture ? 12 : 2); frames++) await frame();
}

async function show(): Promise<void> {
  await settle();
  if (asked.has("toasts")) for (const row of alerts.slice(0, 5)) session.news(row);
  else if (asked.has("open")) inbox.toggle(true);
  await settle();
  for (const name of ["settings", "help", "find", "select"]) if (asked.has(name)) {
    inbox.toggle(true);
    await settle();
    press(name);
  }
  await settle();
  if (asked.has("find")) {
    const search = inbox.shadowRoot?.querySelector<HTMLInputElement>("[type=search]");
    if (search) {
      search.value = "check";
      search.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
    }
  }
  if (asked.has("select")) for (const box of [...inbox.shadowRoot?.querySelectorAll<HTMLElement>("input[data-do=select]") ?? []].slice(0, 2)) box.click();
  if (isPicture) await new Promise((resolve) => setTimeout(resolve, 400)); // What rests, such as a search.
  await settle();
  window.isReady = true;
}
void show();
