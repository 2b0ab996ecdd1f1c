/**
 * What a person does with the element, by mouse, finger or keyboard, and what follows from it. What is on screen afterwards
 * is drawn by element.ts and panel.ts; what few use is in screens.ts, and loaded with the first of it.
 */
import type { ReceiptState, Watchbell } from "@watchbell/client";
import { type ShownRow, actionsOf, webAddress } from "./alert.ts";
import { openMenu } from "./dom.ts";
import type { WatchbellInbox } from "./element.ts";
import type { Screens } from "./screens.ts";
import { choiceOf, snoozeUntil } from "./snooze.ts";
import { type Undo, UNDO_MS, canUndo, undoOf } from "./undo.ts";
import { fill, localeOf } from "./words.ts";

/** What a button of a row is for. */
export type Act = "open" | "read" | "unread" | "restore" | "dismiss" | "snooze" | "select" | "expand" | "group" | "answer" | "acknowledge" | "passOn" | "hide";

export class Acts {
  /** Whose session it is. */
  user = "";
  screens: Screens | null = null;
  #undo: ReturnType<typeof Watchbell.prototype.shared<Undo | null>> | null = null;
  #leave = () => {};
  #undoTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly host: WatchbellInbox) {}

  listen(): void {
    const { bell, panel, toasts } = this.host;
    const areas = [bell.button, panel, toasts.element];
    for (const area of areas) area.addEventListener("click", (event) => this.#press(event));
    if (matchMedia("(any-pointer: coarse)").matches) {
      void import("./touch.ts").then(({ namesOnLongPress }) => areas.forEach(namesOnLongPress), () => undefined);
    }
    panel.addEventListener("change", ({ target }) => {
      const { dataset, value, type, checked } = target as HTMLInputElement;
      if (dataset["control"]) this.control(dataset["control"], type === "checkbox" ? checked : value);
    });
    panel.addEventListener("input", ({ target }) => {
      if ((target as HTMLInputElement).type === "search") this.control("type", (target as HTMLInputElement).value);
    });
    toasts.element.addEventListener("keydown", (event) => {
      const toast = (event.target as Element).closest<HTMLElement>("[data-key]");
      if (event.key !== "Escape" || !toast) return;
      event.preventDefault();
      toasts.hide(toast.dataset["key"] ?? "");
    });
  }

  /** A session of this person begins here. */
  join(client: Watchbell, user: string): void {
    this.user = user;
    this.#undo = client.shared<Undo | null>(`undo of ${user}`);
    this.#leave = this.#undo.subscribe(() => this.#offered());
  }

  forget(): void {
    this.user = "";
    clearTimeout(this.#undoTimer);
    this.#leave();
    this.#undo = null;
  }

  // ---- With alerts.

  /** What a button of a row does. */
  act(what: string, id: string, choice?: string): void {
    const { host } = this;
    const { view } = host;
    const row = host.row(id);
    if (what === "group") toggle(view.groups, id);
    if (!row) return host.draw();
    switch (what as Act) {
      case "open": return this.open(id);
      case "read":
      case "unread": this.say([row], what as ReceiptState); break;
      case "restore": this.say([row], "unread"); break;
      case "dismiss": this.done([row], "dismissed"); break;
      case "snooze": this.snooze([row], choice); break;
      case "answer": this.#answer(row, choice); break;
      case "acknowledge": void this.#sayForAll(row, "acknowledged"); break;
      case "passOn": void this.#sayForAll(row, "passed_on"); break;
      case "select": this.#select(id); break;
      case "expand": toggle(view.expanded, id); break;
    }
    if (what !== "select" && what !== "expand") host.toasts.hide(id);
    host.draw();
  }

  /** The person opened an alert: it is read, and its address is shown. */
  open(id: string): void {
    const { host } = this;
    const row = host.row(id);
    if (!row) return;
    host.toasts.hide(id);
    this.say([row], "read");
    this.#visit(row, row.alert.url);
    host.draw();
  }

  /** The page may show it in its own way. */
  #visit({ alert }: ShownRow, url: string | undefined): void {
    const opened = new CustomEvent("watchbell-open", { detail: { ...alert, url }, bubbles: true, composed: true, cancelable: true });
    const address = webAddress(url);
    if (this.host.dispatchEvent(opened) && address) window.open(address, "_blank", "noopener,noreferrer");
  }

  #answer(row: ShownRow, name = ""): void {
    const { client, words } = this.host;
    const action = actionsOf(row.alert).find(({ id }) => id === name);
    if (!action || !client) return;
    if (action.url) {
      this.say([row], "read");
      return this.#visit(row, action.url);
    }
    client.say([row.alert.id], "answered", { action: action.id });
    this.host.say(fill(words.answered, { title: action.title }));
  }

  /** Says something that others rely on. So it is not shown before the server has it: its frames say what became of the row. */
  async #sayForAll({ alert: { id, title } }: ShownRow, state: "acknowledged" | "passed_on"): Promise<void> {
    const { client, words, finding } = this.host;
    try {
      await client?.request("POST", "/v1/inbox/receipts", { alerts: [id], state });
      finding?.did([id], state === "acknowledged" ? "read" : "dismissed");
      this.host.say(fill(state === "acknowledged" ? words.tookIt : words.passedOn, { title }));
    } catch (error) {
      this.failed((error as Error).message);
    }
  }

  snooze(rows: readonly ShownRow[], name = ""): void {
    const choice = choiceOf(name);
    if (!choice) return;
    const until = snoozeUntil(choice, new Date());
    const { words, language } = this.host;
    const time = until.toLocaleString(localeOf(language), { weekday: "short", hour: "2-digit", minute: "2-digit" });
    this.done(rows, "snoozed", until, words.snoozedUntil.replace("{until}", time));
  }

  /** Does it, offers to undo it, and tells readers of the screen. */
  done(rows: readonly ShownRow[], what: Undo["what"], until?: Date, told = this.host.words.dismissed): void {
    if (!rows.length) return;
    const undo = undoOf(rows, what, Date.now());
    this.offer(undo);
    this.say(rows, what, until);
    if (what !== "read") this.host.say(fill(told, { title: undo.title || fill(this.host.words.several, { n: rows.length }) }));
  }

  say(rows: readonly ShownRow[], state: ReceiptState, until?: Date): void {
    const { client, finding } = this.host;
    if (!client || !rows.length) return;
    const ids = rows.map(({ alert }) => alert.id);
    if (until) client.say(ids, state, until);
    else client.say(ids, state);
    finding?.did(ids, state === "unread" ? "seen" : (state as ShownRow["state"]));
  }

  #select(id: string): void {
    const { view } = this.host;
    if (view.selected) toggle(view.selected, id);
    else void this.#byScreens("select", true).then(() => this.#select(id)).then(() => this.host.draw());
  }

  // ---- Undo.

  /** What can be undone now, in every tab of the person. */
  get undo(): Undo | null {
    const undo = this.#undo?.get();
    return undo && canUndo(undo, Date.now()) ? undo : null;
  }

  offer(undo: Undo | null): void {
    this.#undo?.set(undo);
  }

  #offered(): void {
    clearTimeout(this.#undoTimer);
    if (this.undo) this.#undoTimer = setTimeout(() => this.host.draw(), UNDO_MS + 10);
    this.host.drawSoon();
  }

  // ---- With the panel.

  /** What a control does. */
  control(what: string, value: string | boolean): void {
    const { host } = this;
    if (what === "bell") return host.toggle();
    if (what === "close") return host.toggle(false);
    if (what === "open") {
      host.toasts.clear();
      if (host.isInline) host.scrollIntoView({ block: "nearest" });
      return host.isInline ? host.panel.focus() : host.toggle(true);
    }
    if (!host.inside?.control(what)) void this.#byScreens(what, value);
  }

  /** The rest is loaded with the first of it. */
  async #byScreens(what: string, value: string | boolean): Promise<void> {
    try {
      const { Screens } = await import("./screens.ts");
      if (!this.screens && this.host.inside) this.screens = new Screens(this.host, this.host.inside.parts);
      await this.screens?.control(what, value);
    } catch (error) {
      this.failed((error as Error).message);
    }
  }

  /** Says in the panel that something was not possible. */
  failed(why: string): void {
    const { host } = this;
    host.view.note = fill(host.words.refused, { title: why });
    host.say(host.view.note);
    host.draw();
  }

  /** A browser that is not heard of for long is no device any more: it says that it is here, and subscribes anew where it has to. */
  renewPush(): void {
    const { client, settings, worker } = this.host;
    if (!client || !worker || !settings?.push) return;
    import("./push-device.ts").then(({ renewPush }) => renewPush(client, worker)).catch((error: unknown) => console.warn("Watchbell: this browser could not renew its push.", error));
  }

  /** A push of this alert was clicked, and it has no address of its own. */
  async show(id: string): Promise<void> {
    const { host } = this;
    if (host.view.tab !== "all") await this.#byScreens("tab", "all");
    if (!host.isInline) host.toggle(true);
    const { list } = await host.load();
    host.draw();
    list.focusAt(list.find(id));
  }

  #press(event: Event): void {
    const button = (event.target as Element).closest<HTMLElement>("button, input[data-do]");
    if (!button) return;
    const { control, value, do: what, id, menu, choice } = button.dataset;
    if (control) this.control(control, value ?? true);
    else if (menu) openMenu(button);
    else if (what && id) this.act(what, id, choice);
  }
}

function toggle<T>(set: Set<T>, one: T): void {
  if (!set.delete(one)) set.add(one);
}
