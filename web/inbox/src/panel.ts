/**
 * The panel: its head, the list and the bars at its foot, drawn from what the element knows. Loaded when the page is at rest,
 * and at the latest when the panel is opened.
 */
import type { ShownRow } from "./alert.ts";
import { card, lookOf } from "./card.ts";
import { el, setText } from "./dom.ts";
import type { WatchbellInbox } from "./element.ts";
import { type Item, grouped } from "./groups.ts";
import { listenToKeys } from "./keyboard.ts";
import { RowList } from "./list.ts";
import { type Parts, buildParts, drawHead, drawStanding } from "./panel-parts.ts";
import { panelStyles } from "./panel-styles.ts";
import { standingOf } from "./standing.ts";
import { receiptsBack } from "./undo.ts";
import { type Words, fill } from "./words.ts";

export class Panel {
  readonly list: RowList;
  readonly parts: Parts;
  #wasOpen = false;
  #place: ((bell: Element, panel: HTMLElement) => void) | null = null;

  constructor(readonly host: WatchbellInbox) {
    this.list = new RowList({
      look: (item) => `${host.renders} ` + (item.kind === "row" ? `${item.isInside} ${lookOf(item.row, host.cards)}` : JSON.stringify(item) + host.language),
      make: (item) => (item.kind === "row" ? this.#card(item.row, item.isInside) : this.#groupLine(item)),
      shown: (child, item) => this.#shown(child, item),
      gone: (child) => this.#gone(child),
    });
    this.parts = buildParts(this.list.element);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(panelStyles());
    host.shadowRoot?.adoptedStyleSheets.push(sheet);
    host.panel.append(...this.parts.nodes);
    listenToKeys(this);
  }

  /** What few but the panel itself is asked for; whether it was. */
  control(what: string): boolean {
    const { host } = this;
    const { client, finding } = host;
    switch (what) {
      case "older":
        if (host.isFinding) finding?.more();
        else client?.more();
        break;
      case "undo": this.#takeBack(); break;
      case "wake": host.acts.say((host.now?.alerts ?? []).filter(({ state }) => state === "snoozed"), "unread"); break;
      case "retry": client?.retry(); break;
      case "sign-in":
        if (!host.dispatchEvent(new CustomEvent("watchbell-sign-in", { bubbles: true, composed: true, cancelable: true }))) break;
        client?.start(); // One that was ended.
        client?.signIn();
        break;
      default: return false;
    }
    host.draw();
    return true;
  }

  #takeBack(): void {
    const { client, finding, acts } = this.host;
    const { undo } = acts;
    if (!undo || !client) return;
    acts.offer(null);
    for (const { ids, state, until } of receiptsBack(undo)) {
      if (until) client.say(ids, state, new Date(until));
      else client.say(ids, state);
      finding?.did(ids, state === "unread" ? "seen" : (state as ShownRow["state"]));
    }
  }

  /** It is shown no more; where it stands is looked at again when it is opened. */
  closed(): void {
    this.#wasOpen = false;
  }

  // ---- Drawing: all of it from what is known now.

  /** `before` is where the list stood before anything was drawn. */
  draw(before = this.list.look()): void {
    const { host, parts, list } = this;
    const { view, words, now, isInline } = host;
    const active = host.shadowRoot?.activeElement as HTMLElement | null;
    const focused = active && host.panel.contains(active) ? active : null;
    const focusedAt = list.placeOf(focused);
    const { isFinding, isSettings, isHelp, tab, selected } = view;
    drawHead(parts, words, { status: now?.status ?? "idle", unread: now?.unread ?? 0, isInline, isFinding, isSelecting: selected !== null, isSettings, isHelp, tab });
    const isScreen = isSettings || isHelp;
    parts.settings.hidden = !isSettings;
    parts.help.hidden = !isHelp;
    parts.find.hidden = isScreen || !isFinding;
    parts.tabBar.hidden = parts.list.hidden = isScreen;
    this.#drawNotes(words);

    const rows = isScreen ? [] : host.rows;
    drawStanding(parts, words, isScreen ? null : standingOf(now, {
      rows: rows.length, tab, isFiltered: host.finding?.isFiltered ?? false, isLoading: host.isFinding && (host.finding?.isLoading ?? false),
    }), rows.length > 0);
    if (!isScreen) list.show(host.isFinding ? rows.map((row): Item => ({ kind: "row", key: row.alert.id, row, isInside: false })) : grouped(rows, view.groups), words.title, before);
    parts.older.hidden = isScreen || !(host.isFinding ? host.finding : now)?.hasMore;
    setText(parts.older, words.older);
    this.#drawBars(words, isScreen);
    // Where it is measured, its height counts; else only where the bell is, when it is opened or something is scrolled.
    if (this.#place || this.#wasOpen !== view.isOpen) this.place();
    this.#wasOpen = view.isOpen;
    if (focused) this.#keepFocus(focused, focusedAt);
  }

  #drawNotes(words: Words): void {
    const { quiet, note } = this.parts;
    const { view, settings, finding } = this.host;
    quiet.hidden = !settings?.isQuiet();
    setText(quiet, words.dndOn);
    const text = view.note || (finding?.failed ? fill(words.refused, { title: finding.failed }) : "");
    note.hidden = !text;
    setText(note, text);
  }

  #drawBars(words: Words, isScreen: boolean): void {
    const { bars, many } = this.parts;
    const { view, now, acts } = this.host;
    const snoozed = isScreen || view.tab !== "all" ? 0 : (now?.alerts ?? []).filter(({ state }) => state === "snoozed").length;
    bars.snoozed.element.hidden = snoozed === 0;
    setText(bars.snoozed.text, fill(words.snoozed, { n: snoozed }));
    setText(bars.snoozed.button, words.wake);
    const left = Math.min(view.criticalLeft, now?.unread ?? 0);
    bars.critical.element.hidden = left === 0;
    setText(bars.critical.text, fill(words.criticalKept, { n: left }));
    setText(bars.critical.button, words.readCritical);
    const { undo } = acts;
    bars.undo.element.hidden = !undo;
    if (undo) setText(bars.undo.text, fill({ read: words.wasRead, dismissed: words.dismissed, snoozed: words.wasSnoozed }[undo.what], { title: undo.title || fill(words.several, { n: undo.rows.length }) }));
    setText(bars.undo.button, words.undo);
    many.hidden = isScreen || !view.selected;
    acts.screens?.draw();
  }

  /** What had the focus may be gone: a row that was dismissed, a button that has done its work. */
  #keepFocus(focused: HTMLElement, at: number): void {
    const { list, parts, host } = this;
    // All that hides here says so. Where it stands is not asked for: the browser would have to lay everything out for it.
    if (host.shadowRoot?.activeElement?.closest("[hidden]") === null) return;
    if (at >= 0 && list.focusAt(at)) return;
    if (focused === parts.older && list.focusAt(list.length - 1)) return;
    host.panel.focus({ preventScroll: true });
  }

  /** A browser with anchor positioning needs no more than the style sheet, as long as the bell is in view. */
  place(): void {
    const { host: { bell, panel, view, isInline } } = this;
    if (!view.isOpen || isInline) return;
    const { top, bottom } = bell.button.getBoundingClientRect();
    const isPartly = Math.round(visualViewport?.width ?? innerWidth) < innerWidth;
    const isMeasured = !CSS.supports("position-area: block-end") || bottom < 0 || top > innerHeight || isPartly;
    panel.classList.toggle("measured", isMeasured);
    if (!isMeasured) Object.assign(panel.style, { translate: "", width: "", maxHeight: "" });
    else if (this.#place) this.#place(bell.button, panel);
    else void import("./place.ts").then(({ place }) => {
      this.#place = place;
      this.place();
    }, () => undefined);
  }

  // ---- Rows.

  #card(row: ShownRow, isInside: boolean): HTMLElement {
    const made = card(row, "alert", this.host.cards);
    made.classList.toggle("inside", isInside);
    return made;
  }

  #groupLine({ group, more, unread, from, worst, isOpen }: Extract<Item, { kind: "group" }>): HTMLElement {
    const { words } = this.host;
    const text = fill(words.moreFrom, { n: more, from }) + (unread ? `, ${fill(words.ofThem, { n: unread })}` : "");
    return el("li", { class: `group ${worst}`, part: "group" }, el("button", { type: "button", "data-do": "group", "data-id": group, "aria-expanded": String(isOpen), dir: "auto" }, text));
  }

  #shown(child: HTMLElement, item: Item): void {
    if (item.kind !== "row") return;
    child.dataset["state"] = item.row.state;
    this.host.seen?.observe(child, item.row.alert.id);
  }

  #gone(child: HTMLElement): void {
    this.host.seen?.unobserve(child);
    this.host.dropOwn(child.dataset["key"] ?? "");
  }
}
