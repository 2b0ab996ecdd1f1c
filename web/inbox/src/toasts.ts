/**
 * Toasts: each new alert once, the most severe first, three at a time and the rest behind a button that opens the panel.
 *
 * One goes when the alert was seen, read, dismissed or snoozed anywhere else, when it is closed or swiped away, and by itself
 * after a while; critical ones stay. None goes by itself while the person points at one or has the focus in one.
 * Time is that of the page, so a clock that is set changes nothing.
 */
import type { ShownRow } from "./alert.ts";
import { markCut } from "./card.ts";
import { el, keyed, layer } from "./dom.ts";
import { onceAFrame } from "./frames.ts";
import { rankOf } from "./groups.ts";

const SHOWN_MAX = 3;
const STAYS_MS = 8_000;
/** Beyond these the oldest of the least severe go: they are in the panel. */
const KEPT_MAX = 50;
const SWIPE_PX = 80;

export interface ToastsOf {
  look(row: ShownRow): string;
  make(row: ShownRow): HTMLElement;
  /** The text of the button for those that are not shown. */
  rest(n: number): string;
  gone(child: HTMLElement): void;
}

/** What is shown, the worst first and of these the newest, and how many are not. Pure. */
export function shownOf(rows: readonly ShownRow[]): { shown: ShownRow[]; rest: number } {
  const sorted = [...rows].reverse().sort((a, b) => rankOf(b) - rankOf(a));
  return { shown: sorted.slice(0, SHOWN_MAX), rest: Math.max(0, sorted.length - SHOWN_MAX) };
}

/** Whether it is news no more. Pure. */
export function isOver({ state, alert }: ShownRow, isSeenHere: boolean): boolean {
  return alert.status !== "firing" || (state !== "new" && !(state === "seen" && isSeenHere));
}

export class Toasts {
  readonly element = el("div", { class: "toasts", part: "toasts", role: "region", popover: "manual", hidden: true });
  /** Oldest first. */
  readonly #shown = new Map<string, { row: ShownRow; until: number; isSeenHere: boolean }>();
  readonly #drawing = onceAFrame(() => this.#draw());
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPointedAt = false;

  constructor(readonly of: ToastsOf) {
    for (const [event, isPointedAt] of [["pointerenter", true], ["pointerleave", false]] as const) {
      this.element.addEventListener(event, () => {
        this.#isPointedAt = isPointedAt;
        this.#drawing.ask();
      });
    }
    this.element.addEventListener("focusout", () => this.#drawing.ask());
    this.element.addEventListener("pointerdown", (event) => this.#swipe(event));
  }

  show(row: ShownRow): void {
    const { id, severity } = row.alert;
    this.#shown.delete(id);
    this.#shown.set(id, { row, isSeenHere: false, until: severity === "critical" ? Infinity : performance.now() + STAYS_MS });
    if (this.#shown.size > KEPT_MAX) {
      const least = Math.min(...[...this.#shown.values()].map(({ row }) => rankOf(row)));
      const [oldest] = [...this.#shown].find(([, { row }]) => rankOf(row) === least) ?? [];
      this.#shown.delete(oldest ?? "");
    }
    this.#drawing.ask();
  }

  hide(alert: string): void {
    if (this.#shown.delete(alert)) this.#drawing.ask();
  }

  /** Was on screen long enough: `seen` is said of it, and it stays for its time. */
  markSeen(alert: string): void {
    const shown = this.#shown.get(alert);
    if (shown) shown.isSeenHere = true;
  }

  clear(): void {
    this.#shown.clear();
    this.#isPointedAt = false;
    this.#drawing.now();
  }

  /** Keeps what is still news. */
  follow(rows: readonly ShownRow[]): void {
    if (this.#shown.size) for (const row of rows) {
      const shown = this.#shown.get(row.alert.id);
      if (!shown) continue;
      if (isOver(row, shown.isSeenHere)) this.#shown.delete(row.alert.id);
      else shown.row = row;
    }
    if (this.#shown.size || this.element.childElementCount) this.#drawing.ask();
  }

  get size(): number {
    return this.#shown.size;
  }

  #draw(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    const isHeld = this.#isPointedAt || this.element.matches(":focus-within");
    if (!isHeld) for (const [id, { until }] of this.#shown) if (until <= now) this.#shown.delete(id);
    const { shown, rest } = shownOf([...this.#shown.values()].map(({ row }) => row));
    keyed(this.element, [...shown, ...(rest ? [rest] : [])], {
      key: (item) => (typeof item === "number" ? "rest" : item.alert.id),
      look: (item) => (typeof item === "number" ? this.of.rest(item) : this.of.look(item)),
      make: (item) => (typeof item === "number" ? el("button", { type: "button", class: "rest", "data-control": "open" }, this.of.rest(item)) : this.of.make(item)),
      gone: this.of.gone,
    });
    layer(this.element, shown.length > 0);
    for (const child of this.element.children) markCut(child as HTMLElement);
    if (!shown.length) this.#isPointedAt = false; // What goes from under a pointer says nothing of it.
    const next = Math.min(...[...this.#shown.values()].map(({ until }) => until));
    if (!isHeld && Number.isFinite(next)) this.#timer = setTimeout(() => this.#drawing.ask(), Math.max(0, next - now));
  }

  /** Pushed aside by a finger, a toast goes. */
  #swipe(down: PointerEvent): void {
    const toast = (down.target as Element).closest<HTMLElement>("[data-key]");
    if (down.pointerType !== "touch" || !toast) return;
    const done = new AbortController();
    const { signal } = done;
    const by = ({ clientX }: PointerEvent) => clientX - down.clientX;
    this.element.addEventListener("pointermove", (event) => { toast.style.translate = `${by(event)}px`; }, { signal });
    this.element.addEventListener("pointercancel", () => { toast.style.translate = ""; done.abort(); }, { signal });
    this.element.addEventListener("pointerup", (event) => {
      toast.style.translate = "";
      done.abort();
      if (Math.abs(by(event)) >= SWIPE_PX) this.hide(toast.dataset["key"] ?? "");
    }, { signal });
  }
}
