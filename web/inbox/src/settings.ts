/**
 * What the person wants: quiet and sound. Do Not Disturb is the server's where it keeps preferences, so that
 * phones are silent as well; where it does not (404), and for the rest, this browser keeps it.
 */
import { HttpError, type Watchbell } from "@watchbell/client";

/** Do Not Disturb without an end that anybody will see. */
export const ALWAYS = "2999-12-31T00:00:00Z";

/** The part of `GET /v1/preferences` that is used here (src/wire/preferences.rs); the rest is sent back as it came. */
interface Preferences {
  quiet?: Quiet;
}
interface Quiet {
  until?: string | null;
  zone?: string;
  windows?: QuietWindow[];
}
interface QuietWindow {
  days: string[];
  from: string;
  to: string;
}

export class Settings {
  dndUntil: string | null = null;
  #windows: QuietWindow[] = [];
  #zone: string | undefined;
  /** Whether the server keeps it. Null: not known yet. */
  onServer: boolean | null = null;
  #store: string;

  constructor(readonly client: Watchbell, user: string, readonly changed: () => void) {
    this.#store = `watchbell ${user} `;
    this.dndUntil = this.#get<string>("dnd");
  }

  async load(): Promise<void> {
    try {
      const { quiet } = await this.client.request<Preferences>("GET", "/v1/preferences");
      this.onServer = true;
      this.dndUntil = quiet?.until ?? null;
      this.#windows = quiet?.windows ?? [];
      this.#zone = quiet?.zone;
    } catch (error) {
      if (!(error instanceof HttpError) || error.status !== 404) return; // Not known: asked again when it is live again.
      this.onServer = false;
    }
    this.changed();
  }

  async setDnd(until: string | null): Promise<void> {
    this.dndUntil = until;
    this.#put("dnd", until);
    this.changed();
    if (this.onServer === false) return;
    // What another client wrote meanwhile is kept.
    const now = await this.client.request<Preferences>("GET", "/v1/preferences");
    await this.client.request("PUT", "/v1/preferences", { ...now, quiet: { ...now.quiet, until } });
  }

  isQuiet(now = Date.now()): boolean {
    const isUntil = this.dndUntil !== null && Date.parse(this.dndUntil) > now;
    return isUntil || this.#windows.some((window) => isWithin(window, this.#zone ?? "UTC", now));
  }

  get sound(): boolean {
    return this.#get<boolean>("sound") ?? !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }
  set sound(on: boolean) {
    this.#put("sound", on);
  }

  get desktop(): boolean {
    return (this.#get<boolean>("desktop") ?? false) && "Notification" in window && Notification.permission === "granted";
  }
  set desktop(on: boolean) {
    this.#put("desktop", on);
  }

  /** Whether this browser is one of the person's devices. */
  get push(): boolean {
    return (this.#get<boolean>("push") ?? false) && Notification.permission === "granted";
  }
  set push(on: boolean) {
    this.#put("push", on);
  }

  #get<T>(name: string): T | null {
    try {
      return JSON.parse(localStorage.getItem(this.#store + name) ?? "null") as T | null;
    } catch {
      return null; // No storage in this browser: the defaults.
    }
  }
  #put(name: string, value: unknown): void {
    try {
      localStorage.setItem(this.#store + name, JSON.stringify(value));
    } catch { /* As above: kept until the page is left. */ }
  }
}

/** Whether a window of the week holds at `now`. One that ends at or before its beginning ends on the day after. */
export function isWithin({ days, from, to }: QuietWindow, zone: string, now: number): boolean {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).formatToParts(now);
  const part = (type: string) => parts.find((one) => one.type === type)?.value ?? "";
  const week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
  const today = week.indexOf(part("weekday").toLowerCase());
  const time = `${part("hour")}:${part("minute")}`;
  const begins = (day: number) => days.includes(week[(day + 7) % 7] ?? "");
  const [start, end] = [from.slice(0, 5), to.slice(0, 5)];
  if (start < end) return begins(today) && start <= time && time < end;
  return (begins(today) && start <= time) || (begins(today - 1) && time < end);
}

/** Two soft notes. Browsers allow them only after the person has done something on the page. */
export function ring(): void {
  if (!navigator.userActivation?.hasBeenActive) return;
  const audio = new AudioContext();
  const gain = new GainNode(audio, { gain: 0.08 });
  gain.connect(audio.destination);
  [880, 1320].forEach((frequency, at) => {
    const note = new OscillatorNode(audio, { frequency });
    note.connect(gain);
    note.start(audio.currentTime + at * 0.12);
    note.stop(audio.currentTime + at * 0.12 + 0.1);
    if (at) note.onended = () => void audio.close();
  });
}
