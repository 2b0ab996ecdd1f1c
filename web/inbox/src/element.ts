/**
 * `<watchbell-inbox>`: a bell with a badge, a panel and toasts over one session. Give it a client:
 *
 *     document.querySelector("watchbell-inbox").client = new Watchbell({ token });
 *
 * Attributes: `inline` (the panel alone, always open), `lang`, `theme` (light, dark), `toasts="off"`, `manual-seen` (nothing is seen by itself), `push-worker`
 * (where the service worker is: offers Web Push). Event: `watchbell-open` with the alert; prevent it to open the alert's address yourself.
 */
import { type Row, type Snapshot, type Watchbell, isUnread } from "@watchbell/client";
import { type SeenWatcher, watchSeen } from "@watchbell/client/seen";
import { disclose, el, keyed, setText, webAddress } from "./dom.ts";
import { place } from "./place.ts";
import { disablePush, enablePush, hearPushWorker } from "./push.ts";
import { ALWAYS, Settings, ring } from "./settings.ts";
import { CHOICES, choiceOf, snoozeUntil } from "./snooze.ts";
import { STYLES } from "./styles.ts";
import { Toasts } from "./toasts.ts";
import { type Words, ago, fill, wordsFor } from "./words.ts";

const UNDO_MS = 6_000;
/** How often the ages of alerts are written anew: those under a minute are told in seconds. */
const AGES_EVERY_MS = 1_000;
const BELL = "M12 3a6 6 0 0 0-6 6c0 5-1.6 6.6-2.4 7.4-.5.5-.2 1.6.7 1.6h15.4c.9 0 1.2-1.1.7-1.6C19.6 15.6 18 14 18 9a6 6 0 0 0-6-6Zm-2.4 17a2.5 2.5 0 0 0 4.8 0";

export class WatchbellInbox extends HTMLElement {
  static observedAttributes = ["lang", "inline", "toasts", "manual-seen"];
  #client: Watchbell | null = null;
  #settings: Settings | null = null;
  #seen: SeenWatcher | null = null;
  #left: (() => void)[] = [];
  #isOpen = false;
  #asked = false;
  #undo: { row: Row; until: number } | null = null;
  #desktop = new Map<string, Notification>();
  #note = "";
  readonly #toasts = new Toasts((row) => this.#card(row, true), () => this.#words);
  readonly #ui = build(this);

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: false });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
    root.adoptedStyleSheets = [sheet];
    root.append(this.#ui.bell, this.#ui.panel, this.#toasts.element, this.#ui.announce);
  }

  get client(): Watchbell | null {
    return this.#client;
  }
  set client(client: Watchbell | null) {
    this.#detach();
    this.#client = client;
    if (this.isConnected) this.#attach();
  }

  connectedCallback(): void {
    this.#attach();
  }
  disconnectedCallback(): void {
    this.#detach();
  }
  attributeChangedCallback(): void {
    this.#watchSeen();
    for (const list of [this.#ui.list, this.#toasts.element]) list.replaceChildren();
    this.#draw();
  }

  /** Opens or closes the panel. */
  toggle(open = !this.#isOpen): void {
    this.#isOpen = open;
    if (open) this.#toasts.clear(); // The panel shows them.
    this.#draw();
    if (open) this.#ui.panel.focus();
    else if (this.#ui.panel.contains(this.shadowRoot?.activeElement ?? null)) this.#ui.bell.focus();
  }

  // ---- Joining a session and leaving it.

  #attach(): void {
    const client = this.#client;
    if (!client || this.#left.length) return;
    this.#watchSeen();
    const ages = setInterval(() => this.#drawAges(), AGES_EVERY_MS);
    const outside = (event: Event) => {
      if (this.#isOpen && !event.composedPath().includes(this)) this.toggle(false);
    };
    document.addEventListener("pointerdown", outside);
    const moved = new AbortController();
    window.addEventListener("resize", () => this.#place(), { signal: moved.signal });
    document.addEventListener("scroll", () => this.#place(), { signal: moved.signal, capture: true, passive: true });
    this.#left = [
      client.subscribe(() => this.#changed()),
      client.on("alert", ({ row, here }) => this.#news(row, here)),
      client.on("refused", ({ title }) => this.#say(fill(this.#words.refused, { title }))),
      hearPushWorker(client, (alert) => this.#show(alert)),
      () => clearInterval(ages),
      () => document.removeEventListener("pointerdown", outside),
      () => moved.abort(),
    ];
    this.#changed();
  }

  #watchSeen(): void {
    this.#seen?.close();
    this.#seen = this.#client && !this.hasAttribute("manual-seen") ? watchSeen(this.#client) : null;
  }

  #detach(): void {
    for (const leave of this.#left) leave();
    this.#seen?.close();
    this.#toasts.clear();
    this.#ui.list.replaceChildren();
    this.#left = [];
    this.#seen = null;
    this.#settings = null;
    this.#asked = false;
    this.#undo = null;
  }

  get #words(): Words {
    return wordsFor(this.#lang);
  }
  get #lang(): string {
    return this.getAttribute("lang") ?? (document.documentElement.lang || navigator.language);
  }
  get #now(): Snapshot | null {
    return this.#client?.snapshot ?? null;
  }

  // ---- What happens.

  #changed(): void {
    const now = this.#now;
    if (now?.user && this.#client && !this.#settings) this.#settings = new Settings(this.#client, now.user, () => this.#draw());
    if (now?.status === "live" && this.#settings && !this.#asked) {
      this.#asked = true;
      void this.#settings.load().finally(() => this.#draw());
    }
    if (now) {
      this.#toasts.follow(now.alerts);
      for (const [id, shown] of this.#desktop) {
        const row = now.alerts.find((row) => row.alert.id === id);
        if (row && row.state !== "new") shown.close();
      }
    }
    this.#draw();
  }

  #news(row: Row, here: boolean): void {
    if (!here || this.getAttribute("toasts") === "off" || row.alert.status !== "firing" || this.#settings?.isQuiet()) return;
    if (!this.#isOpen) this.#toasts.show(row);
    this.#say(`${this.#words[row.alert.severity]}: ${row.alert.title}`);
    if (this.#settings?.sound) ring();
    if (this.#settings?.desktop && document.visibilityState === "hidden") this.#notify(row);
  }

  #notify({ alert }: Row): void {
    const shown = new Notification(alert.title, { tag: alert.id, ...(alert.body === undefined ? {} : { body: alert.body }) });
    shown.onclick = () => {
      window.focus();
      this.#open(alert.id);
      shown.close();
    };
    shown.onclose = () => this.#desktop.delete(alert.id);
    this.#desktop.set(alert.id, shown);
  }

  #say(text: string): void {
    setText(this.#ui.announce, text);
  }

  /** The person opened an alert: it is read, and its address is shown. */
  #open(id: string): void {
    const row = this.#row(id);
    if (!row) return;
    this.#client?.say([id], "read");
    const opened = new CustomEvent("watchbell-open", { detail: row.alert, bubbles: true, composed: true, cancelable: true });
    const address = webAddress(row.alert.url);
    if (this.dispatchEvent(opened) && address) window.open(address, "_blank", "noopener,noreferrer");
  }

  /** A push of this alert was clicked, and it has no address of its own. */
  #show(id: string): void {
    if (!this.hasAttribute("inline")) this.toggle(true);
    const card = [...this.#ui.list.children].find((child) => (child as HTMLElement).dataset["key"] === id);
    card?.scrollIntoView({ block: "nearest" });
    card?.querySelector<HTMLElement>(".title")?.focus();
  }

  #row(id: string): Row | undefined {
    return this.#now?.alerts.find((row) => row.alert.id === id);
  }

  /** What a button in a card does. */
  act(what: string, id: string, choice?: string): void {
    const client = this.#client;
    const row = this.#row(id);
    if (!client || !row) return;
    this.#toasts.hide(id);
    switch (what) {
      case "open": return this.#open(id);
      case "read":
      case "unread": return client.say([id], what);
      case "dismiss":
        client.say([id], "dismissed");
        this.#undo = { row, until: Date.now() + UNDO_MS };
        setTimeout(() => this.#draw(), UNDO_MS + 10);
        this.#say(fill(this.#words.dismissed, { title: row.alert.title }));
        return this.#draw();
      case "snooze":
        return this.#snooze(row, choice);
    }
  }

  #snooze({ alert }: Row, name = ""): void {
    const choice = choiceOf(name);
    if (!choice) return;
    const until = snoozeUntil(choice, new Date());
    this.#client?.say([alert.id], "snoozed", until);
    const time = until.toLocaleString(this.#lang, { weekday: "short", hour: "2-digit", minute: "2-digit" });
    this.#say(fill(this.#words.snoozedUntil, { until: time, title: alert.title }));
  }

  /** What a control of the panel does. */
  control(what: string, value: string | boolean): void {
    const settings = this.#settings;
    const failed = (error: unknown) => { this.#note = fill(this.#words.refused, { title: String((error as Error).message) }); this.#draw(); };
    switch (what) {
      case "bell": return this.toggle();
      case "close": return this.toggle(false);
      case "settings": this.#ui.settings.hidden = !this.#ui.settings.hidden; return this.#draw();
      case "read-all": void this.#client?.readAll().catch(failed); return;
      case "older": return this.#client?.more();
      case "undo":
        if (this.#undo) this.#client?.say([this.#undo.row.alert.id], "unread");
        this.#undo = null;
        return this.#draw();
      case "wake": {
        const ids = (this.#now?.alerts ?? []).filter((row) => row.state === "snoozed").map((row) => row.alert.id);
        return ids.length ? this.#client?.say(ids, "unread") : undefined;
      }
      case "dnd": void settings?.setDnd(dndUntil(String(value))).catch(failed); if (settings?.isQuiet()) this.#toasts.clear(); return;
      case "sound": if (settings) settings.sound = Boolean(value); return;
      case "desktop": void this.#allowDesktop(Boolean(value)); return;
      case "push": void this.#allowPush(Boolean(value)); return;
    }
  }

  async #allowDesktop(on: boolean): Promise<void> {
    if (on && (await Notification.requestPermission()) !== "granted") this.#note = this.#words.desktopBlocked;
    if (this.#settings) this.#settings.desktop = on;
    this.#draw();
  }

  async #allowPush(on: boolean): Promise<void> {
    const [client, settings, worker] = [this.#client, this.#settings, this.getAttribute("push-worker")];
    if (!client || !settings || !worker) return;
    this.#note = "";
    this.#draw(); // The same note, said again, is a new one.
    try {
      await (on ? enablePush(client, worker) : disablePush(client));
      settings.push = on;
    } catch (error) {
      this.#note = fill(this.#words.pushFailed, { why: String((error as Error).message) });
    }
    this.#draw();
  }

  // ---- Drawing: all of it from what is known now.

  #draw(): void {
    const { bell, panel, list } = this.#ui;
    const words = this.#words;
    const now = this.#now;
    const status = now?.status ?? "idle";
    const unread = now?.unread ?? 0;
    const isShown = this.hasAttribute("inline") || this.#isOpen;
    bell.dataset["status"] = status;
    bell.setAttribute("aria-expanded", String(this.#isOpen));
    bell.setAttribute("aria-label", fill(words.bell, { n: unread, status: words[status] }));
    this.#ui.badge.hidden = unread === 0;
    setText(this.#ui.badge, unread > 99 ? "99+" : String(unread));
    panel.hidden = !isShown;
    this.#toasts.element.setAttribute("aria-label", words.region);
    if (!isShown) return;

    setText(this.#ui.heading, words.title);
    setText(this.#ui.count, unread ? String(unread) : "");
    this.#ui.count.hidden = unread === 0;
    this.#ui.status.dataset["status"] = status;
    setText(this.#ui.statusText, words[status]);
    this.#drawSettings(words);

    const rows = (now?.alerts ?? []).filter((row) => row.state !== "dismissed" && row.state !== "snoozed");
    const snoozed = (now?.alerts ?? []).filter((row) => row.state === "snoozed").length;
    for (const child of list.children) if (!rows.some((row) => row.alert.id === (child as HTMLElement).dataset["key"])) this.#seen?.unobserve(child);
    // New and seen look alike: what a screen says by itself draws no row anew under the person's hand.
    keyed(list, rows, (row) => row.alert.id, (row) => `${row.alert.version} ${isUnread(row.state) ? "unread" : row.state}`, (row) => this.#card(row, false));
    rows.forEach(({ alert, state }, at) => {
      const child = list.children[at] as HTMLElement;
      child.dataset["state"] = state;
      this.#seen?.observe(child, alert.id);
    });
    list.setAttribute("aria-label", words.title);
    this.#ui.empty.hidden = rows.length > 0;
    setText(this.#ui.empty, now?.loaded ? words.empty : words.loading);
    this.#ui.older.hidden = !now?.hasMore;
    setText(this.#ui.older, words.older);
    this.#ui.snoozed.hidden = snoozed === 0;
    setText(this.#ui.snoozedText, fill(words.snoozed, { n: snoozed }));
    setText(this.#ui.wake, words.wake);
    this.#drawUndo(words);
    this.#place();
  }

  #place(): void {
    if (this.#isOpen && !this.hasAttribute("inline")) place(this.#ui.bell, this.#ui.panel);
  }

  #drawSettings(words: Words): void {
    const { settingsButton, settings, readAll, close } = this.#ui;
    setText(readAll, words.readAll);
    readAll.hidden = !this.#now?.unread;
    close.hidden = this.hasAttribute("inline");
    close.setAttribute("aria-label", words.close);
    settingsButton.setAttribute("aria-label", words.settings);
    settingsButton.setAttribute("aria-expanded", String(!settings.hidden));
    const mine = this.#settings;
    const isQuiet = mine?.isQuiet() ?? false;
    this.#ui.quiet.hidden = !isQuiet;
    setText(this.#ui.quiet, words.dndOn);
    if (settings.hidden || !mine) return;
    const check = (name: string, label: string, on: boolean) => el("label", {}, label, el("input", { type: "checkbox", "data-control": name, checked: on }));
    const until = !isQuiet ? "off" : mine.dndUntil === ALWAYS ? "always" : "until";
    const options: [string, string][] = [["off", words.dndOff], ["hour", words.dndHour], ["tomorrow", words.dndTomorrow], ["always", words.dndAlways]];
    if (until === "until" && mine.dndUntil) options.push(["until", new Date(mine.dndUntil).toLocaleString(this.#lang, { weekday: "short", hour: "2-digit", minute: "2-digit" })]);
    const look = JSON.stringify([until, mine.dndUntil, mine.sound, mine.desktop, this.hasAttribute("push-worker") && mine.push, mine.onServer, this.#note, words.title]);
    if (settings.dataset["look"] === look) return;
    settings.dataset["look"] = look;
    settings.replaceChildren(
      el("label", {}, words.dnd, el("select", { "data-control": "dnd" }, ...options.map(([value, text]) => el("option", { value, selected: value === until }, text)))),
      ...(mine.onServer === false ? [el("p", { class: "note" }, words.dndHere)] : []),
      check("sound", words.sound, mine.sound),
      ...("Notification" in window ? [check("desktop", words.desktop, mine.desktop)] : []),
      ...(this.hasAttribute("push-worker") ? [check("push", words.push, mine.push)] : []),
      ...(this.#note ? [el("p", { class: "note", role: "status" }, this.#note)] : []),
    );
  }

  #drawUndo(words: Words): void {
    if (this.#undo && this.#undo.until <= Date.now()) this.#undo = null;
    this.#ui.undo.hidden = !this.#undo;
    setText(this.#ui.undoText, this.#undo ? fill(words.dismissed, { title: this.#undo.row.alert.title }) : "");
    setText(this.#ui.undoButton, words.undo);
  }

  #drawAges(): void {
    if (document.visibilityState === "hidden") return;
    for (const age of this.shadowRoot?.querySelectorAll("time") ?? []) setText(age, ago(age.dateTime, Date.now(), this.#lang));
  }

  /** A button that shows for how long an alert may be put off, and that. */
  #snoozeMenu({ id, title }: Row["alert"]): HTMLElement[] {
    const words = this.#words;
    const choices = CHOICES.map((choice) => el("button", {
      type: "button", part: "action", "data-do": "snooze", "data-id": id, "data-choice": choice,
      "aria-label": fill(words.snoozeFor, { choice: words[choice], title }),
    }, words[choice]));
    const shows = { type: "button", part: "action", "data-menu": "snooze", "aria-expanded": "false", "aria-label": `${words.snooze}: ${title}` };
    return [el("button", shows, words.snooze), el("div", { class: "menu", part: "menu", role: "group", "aria-label": words.snooze, hidden: true }, ...choices)];
  }

  #card({ alert, state }: Row, isToast: boolean): HTMLElement {
    const words = this.#words;
    const button = (what: string, label: string) =>
      el("button", { type: "button", part: "action", "data-do": what, "data-id": alert.id, "aria-label": `${label}: ${alert.title}` }, label);
    const title = el("button", { type: "button", class: "title", part: "title", "data-do": "open", "data-id": alert.id }, alert.title);
    const age = el("time", { datetime: alert.occurred_at, title: new Date(alert.occurred_at).toLocaleString(this.#lang) }, ago(alert.occurred_at, Date.now(), this.#lang));
    const meta = el("p", { class: "meta" }, el("span", {}, words[alert.severity]), age, ...(alert.source ? [el("span", {}, alert.source)] : []));
    if (alert.status !== "firing") meta.append(el("b", {}, words[alert.status]));
    const actions = el("div", { class: "actions" }, isUnread(state) ? button("read", words.read) : button("unread", words.unread), button("dismiss", words.dismiss));
    if (alert.status !== "resolved") actions.append(...this.#snoozeMenu(alert));
    const look = `alert ${alert.severity} ${isUnread(state) ? "unread" : ""}`;
    const card = el(isToast ? "div" : "li", { class: look, part: isToast ? "toast" : "alert", "data-state": state }, title, ...(alert.body ? [el("p", {}, alert.body)] : []), meta, actions);
    if (isToast) this.#seen?.observe(card, alert.id);
    return card;
  }
}

/** The parts of the shadow tree that stay. */
function build(host: WatchbellInbox) {
  const control = (what: string) => ({ type: "button", "data-control": what });
  const dot = () => el("span", { class: "dot", part: "dot", "aria-hidden": "true" });
  const badge = el("span", { class: "badge", part: "badge", "aria-hidden": "true" });
  const bell = el("button", { ...control("bell"), class: "bell", part: "bell", "aria-haspopup": "dialog" }, icon(BELL), badge, dot());
  const heading = el("h2", { id: "heading" });
  const count = el("span", { class: "count", part: "count" });
  const statusText = el("span");
  const status = el("span", { class: "status", part: "status", role: "status" }, dot(), statusText);
  const readAll = el("button", control("read-all"));
  const settingsButton = el("button", { ...control("settings"), "aria-controls": "settings" }, "⚙");
  const close = el("button", control("close"), "✕");
  const settings = el("div", { id: "settings", class: "settings", part: "settings", hidden: true });
  const quiet = el("p", { class: "note", hidden: true });
  const list = el("ul", { part: "list", tabindex: "0" });
  const empty = el("p", { class: "empty" });
  const older = el("button", { ...control("older"), class: "older", hidden: true });
  const [undoText, undoButton] = [el("span"), el("button", control("undo"))];
  const undo = el("div", { class: "undo", hidden: true }, undoText, undoButton);
  const [snoozedText, wake] = [el("span"), el("button", control("wake"))];
  const snoozed = el("div", { class: "undo", hidden: true }, snoozedText, wake);
  const header = el("header", {}, heading, count, status, el("span", { class: "end" }, readAll, settingsButton, close));
  const panel = el("section", { class: "panel", part: "panel", "aria-labelledby": "heading", tabindex: "-1", hidden: true }, header, settings, quiet, empty, list, older, snoozed, undo);
  const announce = el("p", { class: "unseen", "aria-live": "polite" });

  const root = [bell, panel];
  for (const part of root) part.addEventListener("click", (event) => press(host, event));
  panel.addEventListener("change", ({ target }) => {
    const { dataset, value, type, checked } = target as HTMLInputElement;
    if (dataset["control"]) host.control(dataset["control"], type === "checkbox" ? checked : value);
  });
  panel.addEventListener("keydown", (event) => keys(host, list, event));
  queueMicrotask(() => host.shadowRoot?.querySelector(".toasts")?.addEventListener("click", (event) => press(host, event)));
  return { bell, badge, panel, heading, count, status, statusText, readAll, settingsButton, close, settings, quiet, list, empty, older, undo, undoText, undoButton, snoozed, snoozedText, wake, announce };
}

function press(host: WatchbellInbox, event: Event): void {
  const button = (event.target as Element).closest<HTMLElement>("button");
  if (!button) return;
  const { control, do: what, id, menu, choice } = button.dataset;
  if (control) host.control(control, true);
  else if (menu) openMenu(button);
  else if (what && id) host.act(what, id, choice);
}

/** Shows or hides the choices that follow a button. */
function openMenu(button: HTMLElement, isOpen = button.getAttribute("aria-expanded") !== "true"): void {
  disclose(button, isOpen);
  (isOpen ? button.nextElementSibling?.querySelector("button") : button)?.focus();
}

/** Escape closes; up and down walk through the alerts; R reads and Delete dismisses the one in focus. */
function keys(host: WatchbellInbox, list: HTMLElement, event: KeyboardEvent): void {
  const active = host.shadowRoot?.activeElement;
  const menu = active?.closest(".menu")?.previousElementSibling as HTMLElement | null | undefined;
  if (event.key === "Escape" && menu) return openMenu(menu, false);
  if (event.key === "Escape" && !host.hasAttribute("inline")) return host.toggle(false);
  const items = [...list.children] as HTMLElement[];
  const at = items.findIndex((item) => item.contains(active ?? null));
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move !== undefined && list.contains(active ?? null)) {
    event.preventDefault();
    items[Math.max(0, Math.min(items.length - 1, at + move))]?.querySelector<HTMLElement>(".title")?.focus();
    return;
  }
  const what = { r: "read", Delete: "dismiss" }[event.key];
  const id = items[at]?.dataset["key"];
  if (!what || !id) return;
  event.preventDefault();
  host.act(what, id);
  if (what === "dismiss") ((items[at + 1] ?? items[at - 1])?.querySelector<HTMLElement>(".title") ?? list).focus();
}

function icon(path: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(space, "path");
  shape.setAttribute("d", path);
  shape.setAttribute("fill", "currentColor");
  svg.append(shape);
  return svg;
}

function dndUntil(choice: string): string | null {
  const tomorrow = new Date();
  tomorrow.setDate(tomorrow.getDate() + 1);
  tomorrow.setHours(8, 0, 0, 0);
  const until: Record<string, string> = {
    hour: new Date(Date.now() + 60 * 60 * 1_000).toISOString(), tomorrow: tomorrow.toISOString(), always: ALWAYS,
  };
  return until[choice] ?? null;
}
