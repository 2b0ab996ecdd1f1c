/** The parts of the panel that stay, and drawing of those that are the same whatever is in the list. */
import { el, setAttribute, setText } from "./dom.ts";
import { type Icon, icon } from "./icons.ts";
import { type Standing, type Tab, remedyOf, wordOf } from "./standing.ts";
import type { Words } from "./words.ts";

const TABS: readonly Tab[] = ["all", "unread", "archived"];

const control = (what: string, value?: string) => ({ type: "button", "data-control": what, "data-value": value });

/** A control of the head: a picture, and its name. */
function headButton(what: string, shown: Icon): HTMLButtonElement {
  return el("button", { ...control(what), class: "icon" }, icon(shown), el("span", { class: "tip", part: "tip", "aria-hidden": "true" }));
}

export type Parts = ReturnType<typeof buildParts>;

export function buildParts(list: HTMLElement) {
  const heading = el("h2", { id: "heading" });
  const count = el("span", { class: "count", part: "count" });
  const statusText = el("span");
  const status = el("span", { class: "status", part: "status", role: "status" }, el("span", { class: "dot", part: "dot", "aria-hidden": "true" }), statusText);
  const buttons = {
    find: headButton("find", "find"), select: headButton("select", "select"), readAll: headButton("read-all", "readAll"),
    settings: headButton("settings", "settings"), help: headButton("help", "help"), close: headButton("close", "close"),
  };
  const tabs = TABS.map((tab) => el("button", { ...control("tab", tab), class: "tab", part: "tab" }));
  const tabBar = el("div", { class: "tabs", part: "tabs", role: "group" }, ...tabs);
  const find = el("div", { class: "find", part: "find", hidden: true });
  const settings = el("div", { class: "settings", part: "settings", hidden: true });
  const help = el("div", { class: "help", part: "help", tabindex: "-1", hidden: true });
  const quiet = el("p", { class: "note", hidden: true });
  const note = el("p", { class: "note", role: "status", hidden: true });
  const [standingText, remedy] = [el("p"), el("button", { type: "button", part: "action" })];
  const standing = el("div", { class: "standing", part: "standing", role: "status" }, el("slot", { name: "empty" }, standingText), remedy);
  const older = el("button", { ...control("older"), class: "older", part: "action", hidden: true });
  const bars = { snoozed: bar("wake"), critical: bar("read-critical"), undo: bar("undo") };
  const many = el("div", { hidden: true });
  const foot = [bars.snoozed, bars.critical, bars.undo].map(({ element }) => element);
  const nodes = [
    el("header", { part: "head" }, heading, count, status, el("span", { class: "end" }, ...Object.values(buttons))),
    el("slot", { name: "head" }), tabBar, find, quiet, note, settings, help, standing, list, older, ...foot, many, el("slot", { name: "foot" }),
  ];
  return { nodes, heading, count, status, statusText, buttons, tabs, tabBar, find, settings, help, quiet, note, standing, standingText, remedy, list, older, bars, many };
}

/** A line at the foot with one button. */
function bar(what: string) {
  const [text, button] = [el("span", { dir: "auto" }), el("button", { ...control(what), part: "action" })];
  return { element: el("div", { class: "bar", part: "bar", hidden: true }, text, button), text, button };
}

export interface Head { status: keyof Words; unread: number; tab: Tab; isInline: boolean; isFinding: boolean; isSelecting: boolean; isSettings: boolean; isHelp: boolean }

export function drawHead(parts: Parts, words: Words, head: Head): void {
  const { buttons, tabs, tabBar } = parts;
  setText(parts.heading, words.title);
  setText(parts.count, head.unread ? String(head.unread) : "");
  parts.count.hidden = head.unread === 0;
  parts.status.dataset["status"] = head.status;
  setText(parts.statusText, words[head.status]);
  for (const name of Object.keys(buttons) as (keyof typeof buttons)[]) {
    const button = buttons[name];
    setAttribute(button, "aria-label", words[name]);
    setText(button.querySelector(".tip") ?? button, words[name]);
  }
  buttons.readAll.hidden = !head.unread;
  buttons.close.hidden = head.isInline;
  setAttribute(buttons.find, "aria-expanded", String(head.isFinding));
  setAttribute(buttons.select, "aria-pressed", String(head.isSelecting));
  setAttribute(buttons.settings, "aria-expanded", String(head.isSettings));
  setAttribute(buttons.help, "aria-expanded", String(head.isHelp));
  setAttribute(tabBar, "aria-label", words.title);
  TABS.forEach((tab, at) => {
    const button = tabs[at];
    if (!button) return;
    setText(button, words[tab === "unread" ? "unreadOnly" : tab]);
    setAttribute(button, "aria-pressed", String(tab === head.tab));
  });
}

export function drawStanding({ standing, standingText, remedy }: Parts, words: Words, at: Standing | null, hasRows: boolean): void {
  standing.hidden = !at;
  if (!at) return;
  standing.dataset["standing"] = at;
  standing.classList.toggle("above", hasRows);
  setText(standingText, words[wordOf(at)]);
  const offered = remedyOf(at);
  remedy.hidden = !offered;
  if (!offered) return;
  remedy.dataset["control"] = offered;
  setText(remedy, words[offered]);
}
