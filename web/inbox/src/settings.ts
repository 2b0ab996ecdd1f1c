/**
 * What the person wants: quiet and sound. Do Not Disturb is the server's where it keeps preferences, so that phones are
 * silent as well; where it does not (404), and for the rest, this browser keeps it. All tabs of the person have the same.
 */
import { HttpError, type Watchbell } from "@watchbell/client";
import { stored, store } from "./storage.ts";

/** Do Not Disturb without an end that anybody will see. */
export const ALWAYS = "2999-12-31T00:00:00Z";

/** `GET /v1/preferences` (src/wire/preferences.rs). What is not known here is sent back as it came. */
export interface Preferences {
  channels?: Record<string, boolean | null>;
  categories?: Record<string, Record<string, boolean | null>>;
  quiet?: Quiet;
  digest?: Digest;
}
/** How mails come: one for each alert, for what an hour brought, or at a time of the day. Not said: as the server gathers them. */
export interface Digest {
  every?: "alert" | "hour" | "day" | null;
  at?: string | null;
}
export interface Quiet {
  until?: string | null;
  zone?: string | null;
  windows?: QuietWindow[] | null;
}
export interface QuietWindow {
  days?: string[];
  from: string;
  to: string;
}

/** What all tabs of the person have. */
type SharedQuiet = ReturnType<typeof Watchbell.prototype.shared<Quiet>>;

export class Settings {
  /** Whether the server keeps it. Null: not known yet. */
  onServer: boolean | null = null;
  #quiet: Quiet;
  readonly #store: string;
  readonly #tabs: SharedQuiet;
  readonly #leave: () => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(readonly client: Watchbell, user: string, readonly changed: () => void) {
    this.#store = `watchbell ${user} `;
    this.#tabs = client.shared<Quiet>(`quiet of ${user}`);
    this.#quiet = this.#tabs.get() ?? { until: stored<string>(this.#store + "dnd") };
    this.#leave = this.#tabs.subscribe(() => {
      const quiet = this.#tabs.get();
      if (!quiet || JSON.stringify(quiet) === JSON.stringify(this.#quiet)) return;
      this.#quiet = quiet;
      this.changed();
    });
  }

  close(): void {
    this.#leave();
  }

  get dndUntil(): string | null {
    return this.#quiet.until ?? null;
  }

  /** What the server has, which another device of the person may have changed. */
  async load(): Promise<void> {
    try {
      const { quiet } = await this.client.request<Preferences>("GET", "/v1/preferences");
      this.onServer = true;
      this.#know(quiet ?? {});
    } catch (error) {
      // Otherwise not known: asked again when it is live again.
      if (error instanceof HttpError && error.status === 404) this.onServer = false;
    }
    this.changed();
  }

  async setDnd(until: string | null): Promise<void> {
    this.#know({ ...this.#quiet, until });
    this.changed();
    if (this.onServer !== false) await this.change((now) => ({ ...now, quiet: { ...now.quiet, until } }));
  }

  /** Changes what the server has, one change after the other. What another client wrote meanwhile is kept. */
  change(how: (now: Preferences) => Preferences): Promise<Preferences> {
    const done = this.#last.catch(() => undefined).then(async () => {
      const changed = how(await this.client.request<Preferences>("GET", "/v1/preferences"));
      await this.client.request("PUT", "/v1/preferences", changed);
      this.#know(changed.quiet ?? {});
      this.changed();
      return changed;
    });
    this.#last = done;
    return done;
  }

  #know(quiet: Quiet): void {
    this.#quiet = quiet;
    store(this.#store + "dnd", quiet.until ?? null);
    if (JSON.stringify(this.#tabs.get()) !== JSON.stringify(quiet)) this.#tabs.set(quiet);
  }

  isQuiet(now = Date.now()): boolean {
    const { until, windows, zone } = this.#quiet;
    const isUntil = until ? Date.parse(until) > now : false;
    return isUntil || (windows ?? []).some((window) => isWithin(window, zone ?? "UTC", now));
  }

  get sound(): boolean {
    return stored<boolean>(this.#store + "sound") ?? !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }
  set sound(on: boolean) {
    store(this.#store + "sound", on);
  }

  get desktop(): boolean {
    return (stored<boolean>(this.#store + "desktop") ?? false) && areAllowed();
  }
  set desktop(on: boolean) {
    store(this.#store + "desktop", on);
  }

  /** Whether this browser is one of the person's devices. */
  get push(): boolean {
    return (stored<boolean>(this.#store + "push") ?? false) && areAllowed();
  }
  set push(on: boolean) {
    store(this.#store + "push", on);
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** Made once a zone: making one costs more than a hundred uses, and it is asked at each alert. */
function clockOf(zone: string): Intl.DateTimeFormat {
  const clock = clocks.get(zone) ?? new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  clocks.set(zone, clock);
  return clock;
}

const WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTE_MS = 60_000;
let read = { zone: "", minute: NaN, today: 0, time: "" };

/** The day and the time there, read once a minute: it is asked at each alert and each drawing. */
function timeIn(zone: string, now: number): typeof read {
  const minute = Math.floor(now / MINUTE_MS);
  if (read.zone === zone && read.minute === minute) return read;
  const parts = clockOf(zone).formatToParts(now);
  const part = (type: string) => parts.find((one) => one.type === type)?.value ?? "";
  return read = { zone, minute, today: WEEK.indexOf(part("weekday").toLowerCase()), time: `${part("hour")}:${part("minute")}` };
}

/** Whether a window of the week holds at `now`. One that ends at or before its beginning ends on the day after. */
export function isWithin({ days, from, to }: QuietWindow, zone: string, now: number): boolean {
  const { today, time } = timeIn(zone, now);
  const begins = (day: number) => !days?.length || days.includes(WEEK[(day + 7) % 7] ?? "");
  const [start, end] = [from.slice(0, 5), to.slice(0, 5)];
  if (start < end) return begins(today) && start <= time && time < end;
  return (begins(today) && start <= time) || (begins(today - 1) && time < end);
}

/** Whether the browser lets this page show notifications. */
function areAllowed(): boolean {
  return typeof Notification !== "undefined" && Notification.permission === "granted";
}

/** Asks the person for that, where that is possible. */
export async function allow(): Promise<boolean> {
  if (typeof Notification === "undefined") return false;
  return (await Notification.requestPermission()) === "granted";
}
