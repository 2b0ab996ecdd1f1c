/**
 * The list, of which only what is in view is in the document: ten thousand alerts cost what a screenful costs.
 *
 * What holds here:
 * - Each row stands at its own place in a box as high as all of them. Heights are measured when a row is laid out, and
 *   before that they are taken to be as those that were measured are on average.
 * - What is asked of the layout is asked before anything is written, so that the browser lays out once.
 * - What somebody reads does not move: the first row in view keeps its place while others come, go or grow above it.
 * - The row with the focus stays in the document, wherever it is scrolled to.
 */
import { markCut } from "./card.ts";
import { el, keyed, setAttribute } from "./dom.ts";
import type { Item } from "./groups.ts";

const GAP_PX = 8;
/** How high a row is taken to be before any was measured. */
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

/** What was in view: the first of `items` from `at` on that is still there keeps its place, `by` lower than the edge. */
interface Anchor { items: readonly Item[]; at: number; by: number }

/** How far it is scrolled, and how much of it is in view. */
type InView = Pick<HTMLElement, "scrollTop" | "clientHeight">;

export class RowList {
  readonly element = el("div", { class: "scroll", part: "list", tabindex: "-1" });
  readonly #box = el("ul");
  readonly #heights = new Map<string, number>();
  readonly #sizes: ResizeObserver | null;
  #items: readonly Item[] = [];
  /** How high each is, and where it begins; one more, where the last ends. */
  #highs: number[] = [];
  #tops: number[] = [0];
  /** Where each stands, by its key; null until it is asked for, which few draws do. */
  #places: Map<string, number> | null = null;
  /** The places of those in the document, in their order. */
  #drawn: readonly number[] = [];
  /** The sum of `#heights`. */
  #height = 0;

  constructor(readonly of: ListOf) {
    this.element.append(this.#box);
    this.element.addEventListener("scroll", () => this.#draw(this.look()), { passive: true });
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

  /** Before anything around it is drawn. */
  look(): InView {
    const { scrollTop, clientHeight } = this.element;
    return { scrollTop, clientHeight };
  }

  /** `before` is where it stood then. */
  show(items: readonly Item[], label: string, before: InView): void {
    const anchor = this.#anchor(before.scrollTop);
    const guess = this.#heights.size ? Math.round(this.#height / this.#heights.size) : GUESS_PX;
    this.#items = items;
    this.#places = null;
    this.#highs = items.map(({ key }) => this.#heights.get(key) ?? guess);
    setAttribute(this.#box, "aria-label", label);
    const scrollTop = this.#layOut(anchor);
    if (this.#heights.size > items.length + FORGOTTEN_MAX) for (const key of this.#heights.keys()) if (this.find(key) < 0) this.#know(key, null);
    // One that was not in view is as high as it becomes.
    this.#draw(before.clientHeight ? { scrollTop, clientHeight: before.clientHeight } : this.element, "", true);
  }

  clear(): void {
    for (const child of this.children) this.#gone(child);
    this.#box.replaceChildren();
    this.#items = this.#highs = this.#drawn = [];
    this.#places = null;
    this.#heights.clear();
    this.#height = 0;
  }

  /** The place in the list of the row that holds `node`; -1 when none does. */
  placeOf(node: Node | null): number {
    return node ? this.#drawn[this.children.findIndex((child) => child.contains(node))] ?? -1 : -1;
  }

  /** The place of what has this key; -1 when nothing has. */
  find(key: string): number {
    this.#places ??= new Map(this.#items.map(({ key }, at) => [key, at]));
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
    this.#draw(this.look(), item.key);
    const child = this.children.find(({ dataset }) => dataset["key"] === item.key);
    const target = child?.querySelector<HTMLElement>(".title, [data-do]");
    target?.focus({ preventScroll: true });
    return Boolean(target);
  }

  // ---- Where everything is.

  /** The first row in view and how far it is scrolled; null at the very top, where what is new is shown. */
  #anchor(scrollTop: number): Anchor | null {
    if (scrollTop <= 0 || this.#items.length === 0) return null;
    const at = this.#at(scrollTop);
    return { items: this.#items, at, by: scrollTop - (this.#tops[at] ?? 0) };
  }

  /** Answers how far it is scrolled then. */
  #layOut(anchor: Anchor | null): number {
    let top = 0;
    this.#tops = [0];
    for (const high of this.#highs) this.#tops.push(top += high + GAP_PX);
    this.#box.style.height = `${Math.max(0, top - GAP_PX)}px`;
    return anchor ? this.#keepInView(anchor) : 0;
  }

  #keepInView({ items, at, by }: Anchor): number {
    for (let old = at; old < items.length; old++) {
      const place = items === this.#items ? old : this.find(items[old]?.key ?? "");
      if (place < 0) continue;
      const top = (this.#tops[place] ?? 0) + (old === at ? by : 0);
      if (Math.abs(top - this.element.scrollTop) >= 1) this.element.scrollTop = top;
      break;
    }
    return this.element.scrollTop;
  }

  /** A row is so high; null: it is forgotten. */
  #know(key: string, height: number | null): void {
    this.#height += (height ?? 0) - (this.#heights.get(key) ?? 0);
    if (height === null) this.#heights.delete(key);
    else this.#heights.set(key, height);
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

  /** What is in view, what has the focus, and `also`. Where these are not new and are drawn already, they only take their places. */
  #draw({ scrollTop, clientHeight }: InView, also = "", areNew = false): void {
    const isAll = this.#items.length <= ALL_MAX;
    const [from, to] = isAll ? [0, this.#items.length] : [this.#at(scrollTop - BEYOND_PX), this.#at(scrollTop + clientHeight + BEYOND_PX) + 1];
    const focused = this.#box.querySelector(":focus-within")?.closest<HTMLElement>("[data-key]")?.dataset["key"];
    const wanted = new Set(this.#items.slice(from, to).map((_, nth) => from + nth));
    for (const key of [also, focused]) if (key && this.find(key) >= 0) wanted.add(this.find(key));
    const places = [...wanted].sort((a, b) => a - b);
    const areDrawn = places.length === this.#drawn.length && places.every((at, nth) => at === this.#drawn[nth]);
    if (areNew || !areDrawn) this.#put(places);
    this.children.forEach((child, nth) => { child.style.top = `${this.#tops[places[nth] ?? 0] ?? 0}px`; });
  }

  #put(places: readonly number[]): void {
    const items = places.flatMap((at) => this.#items[at] ?? []);
    keyed(this.#box, items, { key: ({ key }) => key, look: this.of.look, make: this.of.make, gone: (child) => this.#gone(child) });
    this.#drawn = places;
    items.forEach((item, nth) => {
      const child = this.#box.children[nth] as HTMLElement;
      setAttribute(child, "aria-setsize", String(this.#items.length));
      setAttribute(child, "aria-posinset", String((places[nth] ?? 0) + 1));
      this.#sizes?.observe(child);
      this.of.shown(child, item);
    });
  }

  #gone(child: HTMLElement): void {
    this.#sizes?.unobserve(child);
    this.of.gone(child);
  }

  /** After layout and before it is painted: rows that are higher or lower than guessed take their places. */
  #measured(entries: readonly ResizeObserverEntry[]): void {
    const { children } = this;
    const { scrollTop, clientHeight } = this.look();
    const anchor = this.#anchor(scrollTop);
    let isChanged = false;
    for (const { target } of entries) {
      const row = target as HTMLElement;
      const place = this.#drawn[children.indexOf(row)];
      if (place === undefined) continue;
      markCut(row);
      const height = row.offsetHeight;
      if (height === 0 || this.#highs[place] === height) continue;
      this.#know(row.dataset["key"] ?? "", this.#highs[place] = height);
      isChanged = true;
    }
    const scrolled = isChanged ? this.#layOut(anchor) : scrollTop;
    if (clientHeight > 0) this.#draw({ scrollTop: scrolled, clientHeight });
  }
}
