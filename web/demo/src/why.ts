/** What one person got and did not get, and why, as cards: what is in the way now, their alerts, and those that left them out. */
import { type Card, type Part, clock } from "./draw.ts";

export interface Explanation {
  obstacles: { kind: string; what: string }[];
  alerts: { id: string; title: string; severity: string; came_at: string; what: string }[];
  left_out: { id: string; title: string; severity: string; recorded_at: string; what: string }[];
}

/** How far the page looks back. */
export const WHY_SINCE_MS = 60 * 60 * 1_000;
/** Alerts that it shows. */
export const WHY_ALERTS_MAX = 20;

export function addressOf(user: string, now: number): string {
  const since = new Date(now - WHY_SINCE_MS).toISOString();
  return `/v1/users/${encodeURIComponent(user)}/explain?since=${since}&limit=${WHY_ALERTS_MAX}`;
}

export function whyCards({ obstacles, alerts, left_out }: Explanation): Card[] {
  const row = (key: string, look: string, title: Part, what: string): Card => ({ key, look: `why ${look}`, parts: [title, ["span", "quiet", what]] });
  // What is told of a person's alert is one press away.
  const named = (id: string, title: string): Part => ["button", "plain", title, { type: "button", "data-alert": id }];
  return [
    ...obstacles.map(({ kind, what }, at) => row(`${kind} ${at}`, "in-the-way", ["b", "", "In the way now"], what)),
    ...alerts.map(({ id, title, severity, came_at, what }) => row(`alert ${id}`, severity, named(id, `${clock(came_at)} ${title}`), what)),
    ...left_out.map(({ id, title, severity, recorded_at, what }) => row(`left out ${id}`, severity, ["b", "", `${clock(recorded_at)} ${title}: not theirs`], what)),
  ];
}
