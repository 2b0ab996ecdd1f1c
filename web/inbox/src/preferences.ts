/** By which channel the person is told of what, how mails come, and their quiet hours. Each change is stored at once, on the server. */
import type { Watchbell } from "@watchbell/client";
import { type DetailsWords, detailsFor } from "./details-words.ts";
import { el } from "./dom.ts";
import type { Digest, Preferences, Quiet, QuietWindow, Settings } from "./settings.ts";
import { fill, localeOf } from "./words.ts";

/** As the server names them (src/domain/channel.rs): the first two always, the rest where they are used or asked for. */
export const CHANNELS = ["push", "email", "sms", "slack", "telegram", "webhook"] as const;
export type Channel = (typeof CHANNELS)[number];
const ALWAYS_SHOWN = 2;
export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
/** A Monday, from which the names of the days are taken. */
const MONDAY = Date.UTC(2026, 5, 1);
/** Categories that are offered beside those with a preference. */
const CATEGORIES_MAX = 30;
/** What one mail may be for; the first is as the server gathers them. */
const DIGESTS = ["", "alert", "hour", "day"] as const;
/** When the server sends the mail of a day to whoever named no time (src/domain/digest.rs). */
const DAILY_AT = "08:00";

const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

export interface PreferencesOf { client: Watchbell; settings: Settings; language(): string }

/** Whether something is wanted by a channel: what is not said is wanted. Without a category: everything else. */
export function isWanted({ channels, categories }: Preferences, category: string | null, channel: Channel): boolean {
  return (category === null ? channels?.[channel] : categories?.[category]?.[channel] ?? channels?.[channel]) !== false;
}

/** The preferences with one choice more. */
export function choose(now: Preferences, category: string | null, channel: Channel, wanted: boolean): Preferences {
  if (category === null) return { ...now, channels: { ...now.channels, [channel]: wanted } };
  return { ...now, categories: { ...now.categories, [category]: { ...now.categories?.[category], [channel]: wanted } } };
}

/** The preferences with other quiet hours; the zone is that of the person from then on. */
export function quietAs(now: Preferences, change: Partial<Quiet>): Preferences {
  return { ...now, quiet: { ...now.quiet, ...change } };
}

/** The preferences with mails that come otherwise. What they wait for is on the clock of a zone, which is the browser's where none is said. */
export function digestAs(now: Preferences, change: Digest, zone: string): Preferences {
  return quietAs({ ...now, digest: { ...now.digest, ...change } }, { zone: now.quiet?.zone ?? zone });
}

/** The channels of the table: those in use, or all. */
export function shownChannels({ channels, categories }: Preferences, isAll: boolean): readonly Channel[] {
  const used = new Set([channels ?? {}, ...Object.values(categories ?? {})].flatMap(Object.keys));
  return CHANNELS.filter((channel, at) => isAll || at < ALWAYS_SHOWN || used.has(channel));
}

export class PreferencesScreen {
  readonly element = el("div", { class: "preferences", part: "preferences" });
  #now: Preferences | null = null;
  #isAll = false;

  constructor(readonly of: PreferencesOf, readonly say: (text: string) => void) {}

  async load(): Promise<void> {
    try {
      this.#now = await this.of.client.request<Preferences>("GET", "/v1/preferences");
    } catch {
      this.#now = null; // The server keeps none, or does not answer: nothing can be chosen.
    }
    this.draw();
  }

  draw(): void {
    const now = this.#now;
    const words = detailsFor(this.of.language());
    this.element.hidden = !now;
    const look = JSON.stringify([now, this.#isAll, words.title, this.of.language(), this.#categories()]);
    if (!now || this.element.dataset["look"] === look) return;
    this.element.dataset["look"] = look;
    const focused = (this.element.querySelector(":focus") as HTMLElement | null)?.dataset["name"];
    this.element.replaceChildren(this.#channels(now, words), this.#digest(now.digest ?? {}, words), this.#quiet(now.quiet ?? {}, words));
    if (focused) this.element.querySelector<HTMLElement>(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  }

  /** Shows the change, and takes it back where the server does not store it. */
  async #save(how: (now: Preferences) => Preferences): Promise<void> {
    const before = this.#now;
    const words = detailsFor(this.of.language());
    this.#now = how(before ?? {});
    this.draw();
    try {
      this.#now = await this.of.settings.change(how);
      this.say(words.saved);
    } catch (error) {
      this.#now = before;
      this.element.dataset["look"] = "";
      this.say(fill(words.failed, { why: (error as Error).message }));
    }
    this.draw();
  }

  /** Those with a preference, and those of the alerts that are here. */
  #categories(): string[] {
    const here = this.of.client.snapshot.alerts.flatMap(({ alert }) => alert.category || []);
    const chosen = Object.keys(this.#now?.categories ?? {});
    return [...new Set([...chosen, ...[...new Set(here)].slice(0, CATEGORIES_MAX)])].sort();
  }

  #channels(now: Preferences, words: DetailsWords): HTMLElement {
    const channels = shownChannels(now, this.#isAll);
    const box = (category: string | null, channel: Channel) => {
      const name = fill(words.by, { category: category ?? words.everything, channel: words[`by-${channel}`] });
      return el("td", {}, el("label", { class: "cell" }, el("input", {
        type: "checkbox", "data-name": `${category ?? ""}/${channel}`, "aria-label": name, checked: isWanted(now, category, channel),
        onchange: ({ target }) => void this.#save((now) => choose(now, category, channel, (target as HTMLInputElement).checked)),
      })));
    };
    const line = (category: string | null) => el("tr", {}, el("th", { scope: "row", dir: "auto" }, category ?? words.everything), ...channels.map((channel) => box(category, channel)));
    const table = el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...channels.map((channel) => el("th", { scope: "col" }, words[`by-${channel}`])))), el("tbody", {}, ...[...this.#categories(), null].map(line)));
    const more = el("button", { type: "button", "data-name": "more", hidden: channels.length === CHANNELS.length, onclick: () => { this.#isAll = true; this.draw(); } }, words.moreChannels);
    return el("section", {}, el("h3", {}, words.channelsTitle), table, more);
  }

  #digest({ every, at }: Digest, words: DetailsWords): HTMLElement {
    const set = (change: Digest) => void this.#save((now) => digestAs(now, change, ownZone()));
    const choice = el("select", {
      "data-name": "digest", onchange: ({ target }) => set({ every: ((target as HTMLSelectElement).value || null) as Digest["every"] }),
    }, ...DIGESTS.map((value) => el("option", { value, selected: value === (every ?? "") }, words[`digest-${value}`])));
    const time = el("input", {
      type: "time", "data-name": "digest at", value: at ?? DAILY_AT,
      onchange: ({ target }) => { const { value } = target as HTMLInputElement; if (value) set({ at: value.slice(0, 5) }); },
    });
    return el(
      "section", {}, el("h3", {}, words.digestTitle), el("label", {}, words.digest, choice), ...(every === "day" ? [el("label", {}, words.digestAt, time)] : []),
      el("p", { class: "note" }, words.digestNote),
    );
  }

  #quiet(quiet: Quiet, words: DetailsWords): HTMLElement {
    const windows = quiet.windows ?? [];
    const zone = quiet.zone ?? ownZone();
    const set = (windows: QuietWindow[]) => void this.#save((now) => quietAs(now, { windows, zone: now.quiet?.zone ?? zone }));
    const window = (one: QuietWindow, at: number) => {
      const change = (to: Partial<QuietWindow>) => set(windows.map((other, nth) => (nth === at ? { ...other, ...to } : other)));
      const time = (which: "from" | "to") => el("label", {}, words[which], el("input", {
        type: "time", "data-name": `${which} ${at}`, value: one[which].slice(0, 5),
        onchange: ({ target }) => { const { value } = target as HTMLInputElement; if (value) change({ [which]: value }); },
      }));
      const remove = el("button", { type: "button", "data-name": `remove ${at}`, onclick: () => set(windows.filter((_, nth) => nth !== at)) }, words.removeWindow);
      return el("fieldset", {}, el("legend", {}, `${one.from.slice(0, 5)} – ${one.to.slice(0, 5)}`), this.#days(one, at, change), time("from"), time("to"), remove);
    };
    const add = el("button", { type: "button", "data-name": "add", onclick: () => set([...windows, { days: [...DAYS], from: "22:00", to: "07:00" }]) }, words.addWindow);
    const zones = el("input", { list: "zones", "data-name": "zone", value: zone, autocomplete: "off", onchange: ({ target }) => this.#zone((target as HTMLInputElement).value.trim(), words) });
    return el(
      "section", {}, el("h3", {}, words.quietTitle), ...(windows.length ? windows.map(window) : [el("p", { class: "note" }, words.noWindows)]), add,
      el("label", {}, words.zone, zones), el("datalist", { id: "zones" }, ...Intl.supportedValuesOf("timeZone").map((value) => el("option", { value }))),
    );
  }

  #days(window: QuietWindow, at: number, change: (to: Partial<QuietWindow>) => void): HTMLElement {
    const names = new Intl.DateTimeFormat(localeOf(this.of.language()), { weekday: "short", timeZone: "UTC" });
    const chosen = window.days?.length ? window.days : [...DAYS];
    const day = (name: string, nth: number) => el("label", { class: "day" }, el("input", {
      type: "checkbox", "data-name": `${name} ${at}`, checked: chosen.includes(name),
      onchange: ({ target }) => {
        const days = DAYS.filter((one) => (one === name ? (target as HTMLInputElement).checked : chosen.includes(one)));
        if (days.length) change({ days });
        else (target as HTMLInputElement).checked = true; // No day at all would be every day.
      },
    }), names.format(MONDAY + nth * 86_400_000));
    return el("div", { class: "days" }, ...DAYS.map(day));
  }

  #zone(zone: string, words: DetailsWords): void {
    try {
      new Intl.DateTimeFormat("en", { timeZone: zone });
    } catch {
      return this.say(words.zoneUnknown);
    }
    void this.#save((now) => quietAs(now, { zone }));
  }
}
