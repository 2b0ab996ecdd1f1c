/** What happened to an alert, as cards, and what comes next. */
import type { Card } from "./draw.ts";

export interface Told {
  state?: string;
  /** Until when it is snoozed. */
  until?: string | null;
  stopped?: string | null;
  /** When the server looks at it next: the next step, the end of a wait, or the alert's expiry. */
  due_at?: string | null;
  entries: { at: string; what: string }[];
}

/** The steps of the demo's policies, in order. */
const CHANNELS = ["push", "email"];

/** How an escalation ended, where the word alone would not be understood. */
const ENDS: Record<string, string> = { exhausted: "every channel was used", expired: "it expired", snoozed: "snoozed" };

/**
 * What comes next, from what has happened. Every step leaves a note when it is done, and every wait one with its end.
 * `expiresAt` is the alert's: when that is what the server waits for, nothing more is sent.
 */
export function whatIsNext({ state, until, stopped, due_at, entries }: Told, now: number, expiresAt?: string): string {
  if (state === "snoozed" && until) return `Snoozed: it comes back in ${span(until, now)}`;
  if (stopped) return `Over: ${ENDS[stopped] ?? stopped}`;
  // What was before a snooze, or before a worse version, is of an escalation that is over.
  const begun = entries.slice(entries.findLastIndex(({ what }) => what.startsWith("escalation ended")) + 1);
  const told = CHANNELS.map((channel) => begun.findLastIndex(({ what }) => isDone(channel, what)));
  const next = CHANNELS[told.findLastIndex((at) => at >= 0) + 1];
  // After the last step the server waits for nothing but the expiry.
  if (next === undefined) return expiresAt ? `Every channel was used; it expires in ${span(expiresAt, now)}` : "Every channel was used";
  const last = begun.at(-1)?.what ?? "";
  if (last.startsWith(`${next} alert`) && last.endsWith("begun")) return `${next} under way`;
  if (!due_at) return "";
  if (expiresAt && Date.parse(due_at) >= Date.parse(expiresAt)) return `Nothing more is sent; it expires in ${span(expiresAt, now)}`;
  const wait = /^(held|deferred) until \S+: (.*)/.exec(last);
  const isLeft = Date.parse(due_at) > now;
  if (wait) return isLeft ? `${next} held for ${span(due_at, now)}: ${wait[2]}` : `${next} now`;
  return isLeft ? `${next} in ${span(due_at, now)} unless seen` : `${next} now`;
}

/** Whether this note says that the channel has had its turn: by itself, or as a part of a summary. */
function isDone(channel: string, what: string): boolean {
  const told = channel === "email" ? /^(not )?told (by email|in a[^:]* mail)/ : new RegExp(`^(not )?told (by ${channel}|in a[^:]*${channel})`);
  return what.startsWith(`${channel} step`) || told.test(what);
}

/** How long it is until then, in the two largest units. */
function span(then: string, now: number): string {
  const seconds = Math.max(0, Math.ceil((Date.parse(then) - now) / 1_000));
  const units: [string, number][] = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  let left = seconds;
  for (const [name, size] of units.slice(first, first + 2)) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${name}`);
    left %= size;
  }
  return parts.join(" ");
}

export function entryCards(entries: Told["entries"]): Card[] {
  const first = Date.parse(entries[0]?.at ?? "");
  return entries.map(({ at, what }) => {
    const after = (Date.parse(at) - first) / 1_000;
    const kind = /^(?:not )?(?:told (?:by|in a) )?(push|email|digest mail|seen|read|dismissed)/.exec(what)?.[1]?.replace("digest mail", "email") ?? "other";
    // Long names are in the title, for who wants them.
    const text = what
      .replace(/last by [0-9a-f]{32}/, "by a window")
      .replace(/: projects\/\S+$/, "")
      .replace(/[:,]? (attempt |2.0.0 Queued as )?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, "");
    return { key: `${at} ${what}`, look: `entry did-${kind}`, parts: [["span", "more", `+${after.toFixed(1)} s`], ["span", "", text, { title: what }]] };
  });
}
