/**
 * The list, of which only what is in view is in the document: ten thousand alerts cost what a screenful costs.
 *
 * What holds here:
 * - Each row stands at its own place in a box as high as all of them. Heights are measured when a row is laid out, and
 *   guessed before.
 * - What somebody reads does not move: the first row in view keeps its place while others come, go or grow above it.
 * - The row with the focus stays in the document, wherever it is scrolled to.
 */
import { markCut } from "./card.ts";
import { el, keyed } from "./dom.ts";
import type { Item } from "./groups.ts";

const GAP_PX = 8;
const GUESS_PX = 96;
/** Drawn beyond what is in view, so that a quick scroll shows no hole. */
const BEYOND_PX = 400;
/** Heights that are kept of rows that are not in the list now: they may come back. */
const FORGOTTEN_MAX = 1_000;
/** As few as these are all drawn: the browser's own search finds them. */
const ALL_MAX = 30;

export interface ListOf {
  look(item: Item): string;
  make(item: Item): HTMLElement;
  shown(child: HTMLElement, item: Item): void;
  gone(child: HTMLElement): void;
}

/** What was in view: the first row that is still there keeps its place, `by` lower than the edge. */
interface Anchor { below: readonly Item[]; by: number }

export class RowList {
  readonly element = el("div", { class: "scroll", part: "list", tabindex: "-1" });
  readonly #box = el("ul");
  readonly #heights = new Map<string, number>();
  readonly #sizes: ResizeObserver | null;
  #items: readonly Item[] = [];
  #tops: number[] = [0];
  #places = new Map<string, number>();

  constructor(readonly of: ListOf) {
    this.element.append(this.#box);
    this.element.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#sizes = typeof ResizeObserver === "undefined" ? null : new ResizeObserver((entries) => this.#measured(entries));
    this.#sizes?.observe(this.element);
  }

  get length(): number {
    return this.#items.length;
  }

  /** The rows that are in the document, in their order. */
  get children(): HTMLElement[] {
    return [...this.#box.children] as HTMLElement[];
  }

  show(items: readonly Item[], label: string): void {
    const anchor = this.#anchor();
    this.#items = items;
    this.#box.setAttribute("aria-label", label);
    this.#layOut(anchor);
    if (this.#heights.size > items.length + FORGOTTEN_MAX) for (const key of this.#heights.keys()) if (!this.#places.has(key)) this.#heights.delete(key);
    this.#draw();
  }

  clear(): void {
    for (const child of this.children) this.#gone(child);
    this.#box.replaceChildren();
    this.#items = [];
    this.#heights.clear();
  }

  /** The place in the list of the row that holds `node`; -1 when none does. */
  placeOf(node: Node | null): number {
    const child = this.children.find((child) => child.contains(node));
    return this.#places.get(child?.dataset["key"] ?? "") ?? -1;
  }

  find(key: string): number {
    return this.#places.get(key) ?? -1;
  }

  idAt(at: number): string | undefined {
    const item = this.#items[at];
    return item?.kind === "row" ? item.row.alert.id : undefined;
  }

  /** Gives the focus to the row at a place, as near as there is one. Whether there is any. */
  focusAt(at: number): boolean {
    const place = Math.max(0, Math.min(this.#items.length - 1, at));
    const item = this.#items[place];
    if (!item) return false;
    const [top, end] = [this.#tops[place] ?? 0, this.#tops[place + 1] ?? 0];
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (end > scrollTop + clientHeight) this.element.scrollTop = Math.min(top, end - clientHeight);
    this.#draw(item.key);
    const child = this.children.find(({ dataset }) => dataset["key"] === item.key);
    const target = child?.querySelector<HTMLElement>(".title, [data-do]");
    target?.focus({ preventScroll: true });
    return Boolean(target);
  }

  // ---- Where everything is.

  /** The first row in view and how far it is scrolled; null at the very top, where what is new is shown. */
  #anchor(): Anchor | null {
    const { scrollTop } = this.element;
    if (scrollTop <= 0 || this.#items.length === 0) return null;
    const at = this.#at(scrollTop);
    return { below: this.#items.slice(at), by: scrollTop - (this.#tops[at] ?? 0) };
  }

  #layOut(anchor: Anchor | null): void {
    this.#tops = [0];
    this.#places = new Map();
    this.#items.forEach(({ key }, at) => {
      this.#places.set(key, at);
      this.#tops.push((this.#tops[at] ?? 0) + (this.#heights.get(key) ?? GUESS_PX) + GAP_PX);
    });
    this.#box.style.height = `${Math.max(0, (this.#tops.at(-1) ?? 0) - GAP_PX)}px`;
    const kept = anchor?.below.find(({ key }) => this.#places.has(key));
    if (!anchor || !kept) return;
    const top = (this.#tops[this.#places.get(kept.key) ?? 0] ?? 0) + (kept === anchor.below[0] ? anchor.by : 0);
    if (Math.abs(top - this.element.scrollTop) >= 1) this.element.scrollTop = top;
  }

  /** The row that lies at a height, by halving. */
  #at(height: number): number {
    let [low, high] = [0, Math.max(0, this.#items.length - 1)];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#tops[middle + 1] ?? 0) <= height) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // ---- What is in the document.

  #draw(also = ""): void {
    const { scrollTop, clientHeight } = this.element;
    const isAll = this.#items.length <= ALL_MAX;
    const [from, to] = isAll ? [0, this.#items.length] : [this.#at(scrollTop - BEYOND_PX), this.#at(scrollTop + clientHeight + BEYOND_PX) + 1];
    const focused = this.#box.querySelector(":focus-within")?.closest<HTMLElement>("[data-key]")?.dataset["key"];
    const wanted = new Set(this.#items.slice(from, to).map((_, nth) => from + nth));
    for (const key of [also, focused ?? ""]) {
      const at = this.#places.get(key);
      if (at !== undefined) wanted.add(at);
    }
    const places = [...wanted].sort((a, b) => a - b);
    const items = places.flatMap((at) => this.#items[at] ?? []);
    keyed(this.#box, items, { key: ({ key }) => key, look: this.of.look, make: this.of.make, gone: (child) => this.#gone(child) });
    this.#placeRows();
    items.forEach((item, nth) => {
      const child = this.#box.children[nth] as HTMLElement;
      child.setAttribute("aria-setsize", String(this.#items.length));
      child.setAttribute("aria-posinset", String((places[nth] ?? 0) + 1));
      this.#sizes?.observe(child);
      this.of.shown(child, item);
    });
  }

  #placeRows(): void {
    for (const child of this.children) {
      const at = this.#places.get(child.dataset["key"] ?? "");
      if (at !== undefined) child.style.top = `${this.#tops[at] ?? 0}px`;
    }
  }

  #gone(child: HTMLElement): void {
    this.#sizes?.unobserve(child);
    this.of.gone(child);
  }

  /** After layout and before it is painted: rows that are higher or lower than guessed take their places. */
  #measured(entries: readonly ResizeObserverEntry[]): void {
    const anchor = this.#anchor();
    let isChanged = false;
    for (const { target } of entries) {
      const key = (target as HTMLElement).dataset["key"];
      if (target === this.element || key === undefined) continue;
      markCut(target as HTMLElement);
      const height = (target as HTMLElement).offsetHeight;
      if (height === 0 || this.#heights.get(key) === height) continue;
      this.#heights.set(key, height);
      isChanged = true;
    }
    if (isChanged) this.#layOut(anchor);
    if (this.element.clientHeight > 0) this.#draw();
  }
}
