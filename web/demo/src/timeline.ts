/** What happened to an alert, as cards, and what comes next. */
import type { Card } from "./draw.ts";

export interface Told {
  stopped?: string | null;
  due_at?: string | null;
  entries: { at: string; what: string }[];
}

/** What comes next, from what has happened. Every step leaves a note when it is done. */
export function whatIsNext({ stopped, due_at, entries }: Told, now: number): string {
  const has = (start: string) => entries.some(({ what }) => what.startsWith(start));
  if (stopped) return `Over: ${stopped}`;
  if (has("email step")) return "Every channel was used";
  const channel = has("push step") ? "email" : "push";
  if (has(`${channel} alert`)) return `${channel} under way`;
  if (!due_at) return "";
  const left = Math.ceil((Date.parse(due_at) - now) / 1_000);
  return left > 0 ? `${channel} in ${left} s unless seen` : `${channel} now`;
}

export function entryCards(entries: Told["entries"]): Card[] {
  const first = Date.parse(entries[0]?.at ?? "");
  return entries.map(({ at, what }) => {
    const after = (Date.parse(at) - first) / 1_000;
    const kind = /^(push|email|seen|read|dismissed)/.exec(what)?.[1] ?? "other";
    // Long names are in the title, for who wants them.
    const text = what
      .replace(/last by [0-9a-f]{32}/, "by a window")
      .replace(/:? (attempt |2.0.0 Queued as )?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, "");
    return { key: `${at} ${what}`, look: `entry did-${kind}`, parts: [["span", "more", `+${after.toFixed(1)} s`], ["span", "", text, { title: what }]] };
  });
}
