/** The bell: a button with the badge and how the session stands. */
import { el, setAttribute, setText } from "./dom.ts";
import { icon } from "./icons.ts";
import { type Words, fill } from "./words.ts";

export function buildBell() {
  const badge = el("span", { class: "badge", part: "badge", "aria-hidden": "true" });
  const dot = el("span", { class: "dot", part: "dot", "aria-hidden": "true" });
  const button = el("button", { type: "button", "data-control": "bell", class: "bell", part: "bell", "aria-haspopup": "dialog" }, el("slot", { name: "bell" }, icon("bell")), badge, dot);
  return { button, badge };
}

export function drawBell({ button, badge }: ReturnType<typeof buildBell>, words: Words, status: keyof Words, unread: number, isOpen: boolean): void {
  button.dataset["status"] = status;
  setAttribute(button, "aria-expanded", String(isOpen));
  setAttribute(button, "aria-label", fill(words.bell, { n: unread, status: words[status] }));
  badge.hidden = unread === 0;
  setText(badge, unread > 99 ? "99+" : String(unread));
}
