/**
 * The person's settings: quiet and sound here, then how they are told, when not, and on which devices. Behind the gear of the
 * inbox, and `<watchbell-preferences>`. Loaded when it is opened.
 */
import type { Watchbell } from "@watchbell/client";
import { DevicesScreen } from "./devices.ts";
import { type DetailsWords, detailsFor } from "./details-words.ts";
import { el } from "./dom.ts";
import { PreferencesScreen } from "./preferences.ts";
import { ALWAYS, type Settings } from "./settings.ts";
import { fill, localeOf } from "./words.ts";

export interface SettingsOf {
  client: Watchbell;
  settings: Settings;
  language(): string;
  /** Whether this page has a service worker for pushes. */
  offersPush(): boolean;
}

export class SettingsScreen {
  readonly element = el("div", { class: "screen" });
  readonly #here = el("div", { class: "here" });
  readonly #note = el("p", { class: "note", role: "status" });
  readonly #preferences: PreferencesScreen;
  readonly #devices: DevicesScreen;

  constructor(readonly of: SettingsOf) {
    this.#preferences = new PreferencesScreen(of, (text) => this.#say(text));
    this.#devices = new DevicesScreen(of.client, of.language, (text) => this.#say(text), () => this.#isNoDevice());
    this.element.append(this.#here, this.#note, this.#preferences.element, this.#devices.element);
  }

  /** What the server has. */
  async load(): Promise<void> {
    await Promise.all([this.#preferences.load(), this.#devices.load()]);
  }

  /** The person forgot this browser elsewhere: the switch shows it. */
  #isNoDevice(): void {
    if (!this.of.settings.push) return;
    this.of.settings.push = false;
    this.#drawHere(detailsFor(this.of.language()));
  }

  draw(): void {
    this.#drawHere(detailsFor(this.of.language()));
    this.#preferences.draw();
    this.#devices.draw();
  }

  /** Says what became of something, by a word of the dictionary; the same said again is said anew. */
  tell(word: "" | "desktopBlocked" | "pushFailed" | "failed", why = ""): void {
    this.#here.dataset["look"] = ""; // A box that was ticked in vain shows what is.
    this.#say(word ? fill(detailsFor(this.of.language())[word], { why }) : "");
    this.draw();
    if (!word) void this.#devices.load();
  }

  #say(text: string): void {
    this.#note.textContent = text;
  }

  #drawHere(words: DetailsWords): void {
    const { settings, language, offersPush } = this.of;
    const check = (name: string, label: string, on: boolean) => el("label", {}, label, el("input", { type: "checkbox", "data-control": name, checked: on }));
    const until = !settings.isQuiet() || !settings.dndUntil ? "off" : settings.dndUntil === ALWAYS ? "always" : "until";
    const options: [string, string][] = [["off", words.dndOff], ["hour", words.dndHour], ["tomorrow", words.dndTomorrow], ["always", words.dndAlways]];
    if (until === "until" && settings.dndUntil) options.push(["until", new Date(settings.dndUntil).toLocaleString(localeOf(language()), { weekday: "short", hour: "2-digit", minute: "2-digit" })]);
    const hasDesktop = typeof Notification !== "undefined";
    const look = JSON.stringify([options, until, settings.sound, settings.desktop, settings.push, settings.onServer, offersPush(), hasDesktop, words.title]);
    if (this.#here.dataset["look"] === look) return;
    this.#here.dataset["look"] = look;
    const focused = (this.#here.querySelector(":focus") as HTMLElement | null)?.dataset["control"];
    this.#here.replaceChildren(
      el("label", {}, words.dnd, el("select", { "data-control": "dnd" }, ...options.map(([value, text]) => el("option", { value, selected: value === until }, text)))),
      ...(settings.onServer === false ? [el("p", { class: "note" }, words.dndHere)] : []),
      check("sound", words.sound, settings.sound),
      ...(hasDesktop ? [check("desktop", words.desktop, settings.desktop)] : []),
      ...(offersPush() ? [check("push", words.push, settings.push)] : []),
    );
    if (focused) this.#here.querySelector<HTMLElement>(`[data-control="${focused}"]`)?.focus();
  }
}

/** When Do Not Disturb ends that begins at `now`; null where it is turned off. */
export function dndUntil(choice: string, now: Date): string | null {
  switch (choice) {
    case "hour": return new Date(now.getTime() + 60 * 60 * 1_000).toISOString();
    case "tomorrow": return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, 8).toISOString();
    case "always": return ALWAYS;
    default: return null;
  }
}
