/**
 * Three widgets, each fed by a topic: a monitor's state, what was done about it, and figures for a dashboard. Who opens the
 * page late sees the same, because a topic keeps its last events. The demo makes the events up (publish.ts).
 */
import type { TopicEvent, Watchbell } from "@watchbell/client";
import { byId, clock, build, put } from "./draw.ts";

export const TOPICS = { state: "monitor:shop", remediation: "remediation:shop", figures: "figures:shop" } as const;
/** Events that each topic keeps, and each widget shows. */
export const KEPT = 20;

export interface StateData { up: boolean; text: string }
export interface RemediationData { did: string; ok: boolean }
export interface FiguresData { requests: number; errors: number; p95_ms: number }

interface Said<T> { at: string; data: T }
type Topic = keyof typeof TOPICS;

const events: Record<Topic, readonly TopicEvent[]> = { state: [], remediation: [], figures: [] };

/** Follows the topics in this session. Answers how to stop. */
export function follow(client: Watchbell, changed: () => void): () => void {
  const stops = (Object.keys(TOPICS) as Topic[]).map((topic) => {
    events[topic] = [];
    return client.topic(TOPICS[topic], (frame) => {
      events[topic] = (frame.type === "snapshot" ? frame.events : [...events[topic], frame.event]).slice(-KEPT);
      changed();
    });
  });
  return () => stops.forEach((stop) => stop());
}

/** What the topic said last of the monitor; null when it said nothing. */
export const isUp = (): boolean | null => said<StateData>("state").at(-1)?.data.up ?? null;

export function drawWidgets(): void {
  drawState(said<StateData>("state"));
  drawRemediation(said<RemediationData>("remediation"));
  drawFigures(said<FiguresData>("figures"));
}

function said<T>(topic: Topic): Said<T>[] {
  return events[topic].map(({ data, occurred_at }) => ({ at: occurred_at ?? "", data: data as T }));
}

function drawState(states: Said<StateData>[]): void {
  const last = states.at(-1);
  // The first of those at the end that say the same.
  const since = states.slice(states.findLastIndex(({ data }) => data.up !== last?.data.up) + 1)[0];
  byId("lamp").dataset["up"] = String(last?.data.up ?? "");
  put("monitor-text", last ? `The shop is ${last.data.up ? "up" : "down"}` : "no state yet");
  put("monitor-why", last?.data.text ?? "");
  put("monitor-since", since ? `for ${span(Date.now() - Date.parse(since.at))}` : "");
}

function drawRemediation(done: Said<RemediationData>[]): void {
  const lines = done.toReversed().map(({ at, data }) => build(["li", data.ok ? "ok" : "failed", [
    ["span", "more", clock(at)], ["span", "mark", data.ok ? "✓" : "✗", { "aria-label": data.ok ? "worked" : "did not help" }], ["span", "", data.did],
  ]]));
  byId("history").replaceChildren(...lines);
}

function drawFigures(figures: Said<FiguresData>[]): void {
  const last = figures.at(-1)?.data;
  put("figure-requests", last ? String(last.requests) : "–");
  put("figure-errors", last ? `${last.errors} %` : "–");
  put("figure-p95", last ? `${last.p95_ms} ms` : "–");
  byId("spark").setAttribute("points", points(figures.map(({ data }) => data.requests)));
}

/** A line through the values in a box of 100 by 30, the newest at the right. */
export function points(values: readonly number[]): string {
  const max = Math.max(1, ...values);
  const at = (index: number) => 100 - ((values.length - 1 - index) * 100) / (KEPT - 1);
  return values.map((value, index) => `${at(index).toFixed(1)},${(29 - (28 * value) / max).toFixed(1)}`).join(" ");
}

export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3_600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3_600)} h`;
}
