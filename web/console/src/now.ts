/** What is happening now: charts of the last hour, readiness, providers. Every figure is of the one process that answers. */
import { ask } from "./api.ts";
import { chart, seconds, short } from "./chart.ts";
import { type Child, el, table, time } from "./dom.ts";
import type { View } from "./view.ts";

export interface ProcessName { host: string; pid: number; roles: string[]; version: string; since: string }
interface Provider { gates_shut: number; suspects: number; calls: Record<string, number> }
interface Part { status: string; since: string; cause?: string; remedy?: string }
interface Now {
  process: ProcessName;
  every_s: number;
  charts: { times: number[]; series: Record<string, (number | null)[]>; providers: Record<string, Provider> };
  readiness: { status: string; roles: Record<string, { status: string; lacks?: string[] }>; parts: Record<string, Part> };
}

export const now: View = {
  title: "Now",
  everyMs: 10_000,
  async draw() {
    const { process, every_s, charts: { times, series, providers }, readiness } = await ask<Now>("GET", "/now");
    const of = (key: string): (number | null)[] => series[key] ?? [];
    const one = (title: string, unit: string, key: string, show: (value: number) => string): HTMLElement => chart(title, unit, [{ name: title, points: of(key) }], times, show);
    const charts = [
      chart("Alerts", "a second", [{ name: "accepted", points: of("alerts_accepted") }, { name: "recorded", points: of("alerts_recorded") }], times, short),
      one("Sessions", "open", "sessions", short),
      chart("Lateness", "mean", [{ name: "on a screen after", points: of("written_s") }, { name: "timers late by", points: of("timer_late_s") }], times, seconds),
      chart("Queues", "waiting", [{ name: "dispatch", points: of("queue_dispatch") }, { name: "undelivered", points: of("queue_undelivered") }], times, short),
      chart("Set aside", "messages", [{ name: "dead", points: of("queue_dead") }, { name: "rejected", points: of("queue_rejected") }], times, short),
      chart("Calls of providers", "a second", [{ name: "all", points: of("calls") }, { name: "accepted", points: of("calls_accepted") }, { name: "put off", points: of("put_off") }], times, short),
      chart("Store", "mean", [{ name: "an operation", points: of("store_s") }, { name: "a commit", points: of("commit_s") }], times, seconds),
      chart("This process", "", [{ name: "memory, bytes", points: of("memory_bytes") }, { name: "processors", points: of("cpu") }], times, short),
    ];
    return el("div", { class: "stack" },
      el("p", { class: "whose" }, `Figures of the process ${process.host}/${process.pid} (${process.roles.join(", ")}) alone, every ${every_s} s since `, time(process.since),
        ". Alerts, people, keys and dead letters on the other pages are of the whole fleet. Prometheus has all processes and longer times."),
      el("section", { class: "charts", "aria-label": "Charts of the last hour" }, charts),
      el("div", { class: "columns" }, readinessOf(readiness), providersOf(providers)));
  },
};

function readinessOf({ status, roles, parts }: Now["readiness"]): HTMLElement {
  const mark = (status: string): HTMLElement => el("span", { class: `state ${status}` }, status.replace("_", " "));
  const why = ({ cause, remedy }: Part): Child => (cause ? `${cause}${remedy ? `: ${remedy}` : ""}` : "");
  return el("section", { class: "panel" }, el("h2", {}, "Readiness ", mark(status)),
    table("Roles", ["Role", "Status", "Lacks"], Object.entries(roles).map(([role, { status, lacks }]) => [role, mark(status), (lacks ?? []).join(", ")]), "No role."),
    table("Parts", ["Part", "Status", "Since", "Why"], Object.entries(parts).map(([part, state]) => [part, mark(state.status), time(state.since), why(state)]), "No part."));
}

function providersOf(providers: Record<string, Provider>): HTMLElement {
  const rows = Object.entries(providers).map(([name, { gates_shut, suspects, calls }]): Child[] => [
    name,
    el("span", { class: `state ${gates_shut ? "failing" : "ok"}` }, gates_shut ? `open (${gates_shut})` : "closed"),
    suspects,
    Object.entries(calls).map(([outcome, number]) => `${outcome} ${short(number)}`).join(", ") || "none",
  ]);
  return el("section", { class: "panel" }, el("h2", {}, "Providers"),
    table("Providers", ["Provider", "Breaker", "Devices at rest", "Calls since the start"], rows, "This process has not the role fallback: another one calls the providers."));
}
