/** Choosing many alerts, and reading all. Loaded when it is first used. */
import { type Watchbell, isUnread } from "@watchbell/client";
import type { ShownRow } from "./alert.ts";
import { el, setText } from "./dom.ts";
import { CHOICES } from "./snooze.ts";
import { type Words, fill } from "./words.ts";

/** Pages that "read all" looks through for what is not here yet. */
const PAGES_MAX = 50;
const PAGE_ROWS = 200;

/** Everything that is unread, also what was not paged in; `known` are the rows that are here. */
export async function allUnread(client: Watchbell, known: readonly ShownRow[]): Promise<ShownRow[]> {
  const rows = new Map<string, ShownRow>();
  let before: string | number | null = null;
  for (let pages = 0; client.snapshot.hasMore && pages < PAGES_MAX; pages++) {
    const at: string = before === null ? "" : `&before=${encodeURIComponent(before)}`;
    const page = await client.request<{ alerts: ShownRow[]; next_before: string | number | null }>("GET", `/v1/inbox?state=unread&limit=${PAGE_ROWS}${at}`, undefined, { alerts: [] });
    for (const row of page.alerts) rows.set(row.alert.id, row);
    before = page.next_before;
    if (before === null) break;
  }
  // What is here is as the person left it.
  for (const row of known) rows.set(row.alert.id, row);
  return [...rows.values()].filter(({ state }) => isUnread(state));
}

const control = (what: string, value?: string) => el("button", { type: "button", part: "action", "data-control": what, "data-value": value });

/** The bar with what can be done with those that are chosen. */
export class ManyBar {
  readonly #text = el("span");
  readonly #buttons = { selectAll: control("select-all"), read: control("selected", "read"), dismiss: control("selected", "dismiss") };
  readonly #snooze = el("button", { type: "button", part: "action", "data-menu": "snooze", "aria-expanded": "false" });
  readonly #choices = CHOICES.map((choice) => control("selected", choice));
  readonly #menu = el("div", { class: "menu", part: "menu", role: "group", hidden: true }, ...this.#choices);
  readonly #done = control("select");
  readonly element = el("div", { class: "bar many", part: "bar", role: "group" }, this.#text, ...Object.values(this.#buttons), this.#snooze, this.#menu, this.#done);

  draw(words: Words, chosen: ReadonlySet<string>): void {
    this.element.setAttribute("aria-label", words.select);
    setText(this.#text, fill(words.selected, { n: chosen.size }));
    for (const name of ["selectAll", "read", "dismiss"] as const) setText(this.#buttons[name], words[name]);
    setText(this.#snooze, words.snooze);
    setText(this.#done, words.done);
    this.#menu.setAttribute("aria-label", words.snooze);
    CHOICES.forEach((choice, at) => this.#choices[at] && setText(this.#choices[at], words[choice]));
    for (const button of [this.#buttons.read, this.#buttons.dismiss, this.#snooze]) button.disabled = chosen.size === 0;
  }
}
