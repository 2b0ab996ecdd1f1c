/** One alert as a row of the list or as a toast. Texts of others are text, in their own direction. */
import { isUnread } from "@watchbell/client";
import { type AlertAction, NOBODY_NOW, type ShownAlert, type ShownRow, acknowledgementOf, actionsOf, imageAddress } from "./alert.ts";
import { el, madeWhenOpened } from "./dom.ts";
import { type Icon, icon } from "./icons.ts";
import { CHOICES } from "./snooze.ts";
import { type Words, ago, fill, localeOf } from "./words.ts";

/** The severities that have a picture; one of a later server has that of information. */
const RANKS = { info: 0, warning: 1, critical: 2 };

/** How cards look now. */
export interface CardView {
  words: Words;
  lang: string;
  /** Alerts whose text is shown whole. */
  expanded: ReadonlySet<string>;
  /** Alerts that are chosen; null while none are being chosen. */
  selected: ReadonlySet<string> | null;
  /** What makes Markdown readable; null until it is loaded. */
  markdown: ((text: string) => (Node | string)[]) | null;
  /** Content of the page's own for a row, in place of title, text and details. */
  own(row: ShownRow): HTMLSlotElement | null;
  /** Whose inbox it is. */
  user: string;
}

/** Everything that a row's look depends on, so that it is made anew when this changes. */
export function lookOf({ alert, state, answer }: ShownRow, { lang, words, expanded, selected, markdown }: CardView): string {
  // New and seen look alike: what a screen says by itself draws no row anew under the person's hand.
  const parts = [alert.version, alert.status, isUnread(state) ? "unread" : state, answer?.action, acknowledgementOf(alert)?.by, lang, words.title, expanded.has(alert.id), selected?.has(alert.id), alert.body_format && markdown !== null];
  return parts.join(" ");
}

export function card(row: ShownRow, kind: "alert" | "toast", view: CardView): HTMLElement {
  const { alert, state } = row;
  const { words, selected } = view;
  const look = `alert ${alert.severity} ${isUnread(state) ? "unread" : "quiet"} ${view.expanded.has(alert.id) ? "whole" : ""}`;
  const made = el(kind === "alert" ? "li" : "div", { class: look, part: `${kind} ${alert.severity}`, "data-state": state });
  if (selected && kind === "alert") {
    const box = el("input", { type: "checkbox", "data-do": "select", "data-id": alert.id, checked: selected.has(alert.id), "aria-label": fill(words.selectOne, { title: alert.title }) });
    // A thumb needs more room than the box takes.
    made.append(el("label", { class: "choose" }, box));
  }
  const image = imageAddress(alert);
  const own = kind === "alert" ? view.own(row) : null;
  if (image && !own) made.append(picture(image));
  const main = el("div", { class: "main" }, ...(own ? [own] : content(row, view)));
  const answers = actionsOf(alert);
  if (answers.length) main.append(answerBar(row, answers, words));
  main.append(...acknowledgeBar(row, view));
  made.append(main, tools(row, kind, words));
  return made;
}

function picture(address: string): HTMLElement {
  const image = el("img", { class: "image", part: "image", src: address, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.remove());
  return image;
}

function content({ alert }: ShownRow, { words, lang, expanded, markdown }: CardView): HTMLElement[] {
  const { id, title, severity, source, category, status, occurred_at: at } = alert;
  const heading = el("button", { type: "button", class: "title", part: "title", "data-do": "open", "data-id": id, dir: "auto" }, el("span", {}, title));
  const text = alert.body ? [el("p", { class: "body", part: "body", dir: "auto" }, ...bodyOf(alert, markdown))] : [];
  const more = el("button", {
    type: "button", class: "more", part: "action", "data-do": "expand", "data-id": id, "aria-expanded": String(expanded.has(id)), hidden: !expanded.has(id),
  }, expanded.has(id) ? words.showLess : words.showMore);
  const age = el("time", { datetime: at, title: new Date(at).toLocaleString(localeOf(lang)) }, ago(at, Date.now(), lang));
  const others = [source, category].filter((one) => one !== undefined && one !== "").map((one) => el("span", { dir: "auto" }, String(one)));
  const meta = el("p", { class: "meta", part: "meta" }, el("span", { class: "severity", part: "severity" }, icon(severity in RANKS ? severity : "info"), words[severity] ?? severity), age, ...others);
  if (status !== "firing") meta.append(el("b", {}, words[status] ?? status));
  return [heading, ...text, more, meta];
}

function bodyOf({ body = "", body_format: format }: ShownAlert, markdown: CardView["markdown"]): (Node | string)[] {
  return format === "markdown" && markdown ? markdown(body) : [body];
}

/** The alert's own buttons. One that was pressed stays, as what was answered. */
function answerBar({ alert, answer }: ShownRow, actions: AlertAction[], words: Words): HTMLElement {
  const said = actions.find(({ id }) => id === answer?.action);
  if (said) return el("p", { class: "said", part: "answer", dir: "auto" }, icon("read"), fill(words.answered, { title: said.title }));
  const buttons = actions.map(({ id, title }) => el("button", {
    type: "button", part: "action answer", dir: "auto", "data-do": "answer", "data-id": alert.id, "data-choice": id, "aria-label": `${title}: ${alert.title}`,
  }, title));
  return el("div", { class: "answers", part: "answers" }, ...buttons);
}

/** Who has an alert that one of several people is to take on; the buttons by which this person does, or says that it is not for them. */
function acknowledgeBar({ alert, state }: ShownRow, { words, user }: CardView): HTMLElement[] {
  const acknowledgement = acknowledgementOf(alert);
  const { id, title, status } = alert;
  if (!acknowledgement) return [];
  const { by } = acknowledgement;
  const button = (what: "acknowledge" | "passOn") => el("button", { type: "button", part: "action acknowledge", "data-do": what, "data-id": id, "aria-label": `${words[what]}: ${title}` }, words[what]);
  const bar = (...buttons: HTMLElement[]) => status === "firing" ? [el("div", { class: "answers", part: "acknowledge-bar" }, ...buttons)] : [];
  if (!by) return bar(button("acknowledge"), ...(state === "dismissed" ? [] : [button("passOn")]));
  const name = by === NOBODY_NOW ? words.somebody : by;
  const said = el("p", { class: "said", part: "acknowledgement", dir: "auto" }, icon("read"), by === user ? words.youHaveIt : fill(words.hasIt, { name }));
  // Whoever has it may give it back.
  return by === user ? [said, ...bar(button("passOn"))] : [said];
}

/** What can be done with any alert: icons, whose names show when one points at them, gets to them by keyboard or presses long. */
function tools({ alert, state }: ShownRow, kind: "alert" | "toast", words: Words): HTMLElement {
  const { id, title, status } = alert;
  const tool = (what: "read" | "unread" | "dismiss" | "restore") => iconButton(what, words[what], { "data-do": what, "data-id": id, "aria-label": `${words[what]}: ${title}` });
  const bar = el("div", { class: "tools", part: "tools" });
  if (state === "dismissed") bar.append(tool("restore"));
  else {
    bar.append(tool(isUnread(state) ? "read" : "unread"), tool("dismiss"));
    if (status !== "resolved") bar.append(...snoozeMenu(title, id, words));
  }
  if (kind === "toast") bar.append(iconButton("close", words.close, { "data-do": "hide", "data-id": id, "aria-label": fill(words.hide, { title }) }));
  return bar;
}

/** A button that shows for how long an alert may be put off, and that. */
function snoozeMenu(title: string, id: string, words: Words): HTMLElement[] {
  const choices = () => CHOICES.map((choice) => el("button", {
    type: "button", part: "action", "data-do": "snooze", "data-id": id, "data-choice": choice, "aria-label": fill(words.snoozeFor, { choice: words[choice], title }),
  }, words[choice]));
  return [
    iconButton("snooze", words.snooze, { "data-menu": "snooze", "aria-expanded": "false", "aria-label": `${words.snooze}: ${title}` }),
    madeWhenOpened(el("div", { class: "menu", part: "menu", role: "group", "aria-label": words.snooze, hidden: true }), choices),
  ];
}

/** A picture that is pressed, with its name beside it. */
export function iconButton(shown: Icon, name: string, attributes: Record<string, string>): HTMLButtonElement {
  return el("button", { type: "button", class: "icon", part: "action", ...attributes }, icon(shown), el("span", { class: "tip", part: "tip", "aria-hidden": "true" }, name));
}

/** Shows the button "Show more" where text is cut off. Called when the row is laid out. */
export function markCut(row: HTMLElement): void {
  const more = row.querySelector<HTMLElement>(".more");
  if (!more || row.classList.contains("whole")) return;
  const isCut = [...row.querySelectorAll(".title > span, .body")].some(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight + 1);
  if (more.hidden === isCut) more.hidden = !isCut;
}
