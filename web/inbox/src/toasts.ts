/**
 * Toasts: each new alert once, three at a time, gone when it was read, dismissed or snoozed anywhere. Critical ones stay
 * until acted upon, and none goes by itself while the person points at one or has the focus in one.
 */
import type { Row } from "@watchbell/client";
import { el, keyed } from "./dom.ts";
import { type Words, fill } from "./words.ts";

const SHOWN_MAX = 3;
const STAYS_MS = 8_000;

export class Toasts {
  readonly element = el("div", { class: "toasts", part: "toasts", role: "region" });
  readonly #shown = new Map<string, { row: Row; until: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPointedAt = false;

  constructor(readonly make: (row: Row) => HTMLElement, readonly words: () => Words) {
    for (const [event, isPointedAt] of [["pointerenter", true], ["pointerleave", false]] as const) {
      this.element.addEventListener(event, () => {
        this.#isPointedAt = isPointedAt;
        this.draw();
      });
    }
    // While it is told, the focus is nowhere.
    this.element.addEventListener("focusout", () => queueMicrotask(() => this.draw()));
  }

  show(row: Row): void {
    this.#shown.set(row.alert.id, { row, until: row.alert.severity === "critical" ? Infinity : Date.now() + STAYS_MS });
    this.draw();
  }

  hide(alert: string): void {
    if (this.#shown.delete(alert)) this.draw();
  }

  clear(): void {
    this.#shown.clear();
    this.draw();
  }

  /** Keeps what is still news: `rows` are what the inbox holds now. */
  follow(rows: readonly Row[]): void {
    if (this.#shown.size === 0) return;
    for (const row of rows) {
      const shown = this.#shown.get(row.alert.id);
      if (!shown) continue;
      const isOver = ["read", "dismissed", "snoozed"].includes(row.state) || row.alert.status !== "firing";
      if (isOver) this.#shown.delete(row.alert.id);
      else shown.row = row;
    }
    this.draw();
  }

  draw(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    const isHeld = this.#isPointedAt || this.element.matches(":focus-within");
    if (!isHeld) for (const [id, { until }] of this.#shown) if (until <= now) this.#shown.delete(id);
    const rows = [...this.#shown.values()].map(({ row }) => row).reverse();
    const rest = rows.length - SHOWN_MAX;
    const items = [...rows.slice(0, SHOWN_MAX), ...(rest > 0 ? [rest] : [])];
    keyed(
      this.element, items,
      (item) => (typeof item === "number" ? "rest" : item.alert.id),
      (item) => (typeof item === "number" ? String(item) : `${item.alert.version}`),
      (item) => (typeof item === "number" ? el("div", { class: "rest" }, fill(this.words().more, { n: item })) : this.make(item)),
    );
    const next = Math.min(...[...this.#shown.values()].map(({ until }) => until));
    if (!isHeld && Number.isFinite(next)) this.#timer = setTimeout(() => this.draw(), next - now);
  }
}
