/**
 * What few do in the panel: look for something, choose many, read all, change settings, look up the keys. Loaded with the
 * first of these.
 */
import type { ShownRow } from "./alert.ts";
import type { WatchbellInbox } from "./element.ts";
import { FindBar } from "./find-bar.ts";
import { Finding } from "./finding.ts";
import { ManyBar, allUnread } from "./many.ts";
import type { Parts } from "./panel-parts.ts";
import { screenStyles } from "./screen-styles.ts";
import { allow } from "./settings.ts";
import type { Tab } from "./standing.ts";

export class Screens {
  findBar: FindBar | null = null;
  readonly #many = new ManyBar();

  constructor(readonly host: WatchbellInbox, readonly parts: Parts) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(screenStyles());
    host.shadowRoot?.adoptedStyleSheets.push(sheet);
    parts.many.replaceChildren(this.#many.element);
  }

  async control(what: string, value: string | boolean): Promise<void> {
    const { host } = this;
    const { view, settings } = host;
    switch (what) {
      case "tab": return this.#tab(value as Tab);
      case "show-all": return this.#tab("all");
      case "find": return this.find(!view.isFinding);
      case "clear": return this.#clear();
      case "question": return this.findBar?.ask();
      case "type": return this.finding?.type(String(value));
      case "settings": return this.#settings(!view.isSettings);
      case "help": return this.#help(!view.isHelp);
      case "select": view.selected = view.selected ? null : new Set(); break;
      case "select-all": view.selected = new Set(host.rows.map(({ alert }) => alert.id)); break;
      case "selected": this.#selected(String(value)); break;
      case "read-all":
      case "read-critical": return this.#readAll(what === "read-critical");
      case "dnd": {
        const { dndUntil } = await import("./settings-screen.ts");
        await settings?.setDnd(dndUntil(String(value), new Date()));
        break;
      }
      case "sound": if (settings) settings.sound = Boolean(value); break;
      case "desktop": return this.#allowDesktop(Boolean(value));
      case "push": return this.#allowPush(Boolean(value));
      default: return;
    }
    host.draw();
  }

  draw(): void {
    const { selected } = this.host.view;
    if (selected) this.#many.draw(this.host.words, selected);
    this.findBar?.draw();
  }

  // ---- Finding.

  get finding(): Finding | null {
    return this.host.finding as Finding | null;
  }

  #find(): Finding | null {
    const { host } = this;
    if (!host.client) return null;
    const finding = this.finding ?? new Finding(host.client, () => host.drawSoon());
    if (host.finding !== finding || !this.findBar) {
      host.finding = finding;
      this.findBar = new FindBar(finding, host);
      this.parts.find.replaceChildren(this.findBar.element);
    }
    return finding;
  }

  #tab(tab: Tab): void {
    const { host } = this;
    const finding = this.#find();
    if (!finding) return;
    host.view.tab = tab;
    host.view.selected = null;
    this.parts.list.scrollTop = 0;
    finding.ask({ tab });
    host.draw();
  }

  find(on: boolean): void {
    const { host } = this;
    this.#find();
    Object.assign(host.view, { isFinding: on, isSettings: false, isHelp: false });
    if (!on) this.findBar?.clear();
    host.draw();
    (on ? this.findBar : this.parts.buttons.find)?.focus();
  }

  #clear(): void {
    this.findBar?.clear();
    this.host.draw();
    this.findBar?.focus();
  }

  // ---- Many.

  #selected(what: string): void {
    const { host } = this;
    const rows = [...(host.view.selected ?? [])].flatMap((id) => host.row(id) ?? []);
    host.view.selected = null;
    if (what === "read") host.acts.done(rows, "read");
    else if (what === "dismiss") host.acts.done(rows, "dismissed");
    else host.acts.snooze(rows, what);
  }

  /** Critical ones are left unless they are asked for: nobody reads them by the way. */
  async #readAll(withCritical: boolean): Promise<void> {
    const { host } = this;
    if (!host.client) return;
    const rows = await allUnread(host.client, host.now?.alerts ?? []);
    const wanted = rows.filter(({ alert }: ShownRow) => withCritical || alert.severity !== "critical");
    host.acts.done(wanted, "read");
    host.view.criticalLeft = rows.length - wanted.length;
    host.draw();
  }

  // ---- Screens in place of the list.

  async #settings(on: boolean): Promise<void> {
    const { host } = this;
    const { client, settings } = host;
    if (on && client && settings && !host.settingsScreen) {
      const { SettingsScreen } = await import("./settings-screen.ts");
      if (host.settings !== settings) return; // Somebody else is here by now.
      host.settingsScreen = new SettingsScreen({ client, settings, language: () => host.language, offersPush: () => host.worker !== null });
      this.parts.settings.replaceChildren(host.settingsScreen.element);
    }
    Object.assign(host.view, { isSettings: on, isHelp: false });
    if (on) {
      host.settingsScreen?.draw();
      void host.settingsScreen?.load();
    }
    host.draw();
    if (!on) this.parts.buttons.settings.focus();
  }

  async #help(on: boolean): Promise<void> {
    const { host } = this;
    if (on) {
      const { helpOf } = await import("./help.ts");
      this.parts.help.replaceChildren(helpOf(host.language));
    }
    Object.assign(host.view, { isHelp: on, isSettings: false });
    host.draw();
    (on ? this.parts.help : this.parts.buttons.help).focus();
  }

  async #allowDesktop(on: boolean): Promise<void> {
    const { host } = this;
    const isAllowed = on && (await allow());
    if (host.settings) host.settings.desktop = isAllowed;
    host.settingsScreen?.tell(on && !isAllowed ? "desktopBlocked" : "");
  }

  async #allowPush(on: boolean): Promise<void> {
    const { client, settings, worker, settingsScreen } = this.host;
    if (!client || !settings || !worker) return;
    settingsScreen?.tell("");
    try {
      const { disablePush, enablePush } = await import("./push-device.ts");
      await (on ? enablePush(client, worker) : disablePush(client));
      settings.push = on;
      settingsScreen?.tell("");
    } catch (error) {
      settingsScreen?.tell("pushFailed", (error as Error).message);
    }
  }
}
