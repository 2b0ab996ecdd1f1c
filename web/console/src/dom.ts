/** Drawing for the console. What came from elsewhere goes on screen as text only, and nothing is ever read as HTML. */

export type Child = Node | string | number | null | undefined | false;
type Value = string | number | boolean | null | undefined | ((event: Event) => void);

/** An element with attributes, listeners (functions, by the event's name) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, Value> = {}, ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  set(made, attributes);
  made.append(...children.flat().filter(isShown).map((child) => (typeof child === "number" ? String(child) : child)));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for a drawing. */
export function svg(tag: string, attributes: Record<string, Value> = {}, ...children: Node[]): SVGElement {
  const made = document.createElementNS(SVG, tag);
  set(made, attributes);
  made.append(...children);
  return made;
}

function set(made: Element, attributes: Record<string, Value>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
}

const isShown = (child: Child): child is Node | string | number => child !== null && child !== undefined && child !== false;

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A time as people read it, with the exact one to hover. */
export const time = (at: string): HTMLElement =>
  el("time", { datetime: at, title: at }, new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "medium" }));

/** A table with a heading for each column. */
export function table(caption: string, heads: string[], rows: Child[][], empty: string): HTMLElement {
  if (rows.length === 0) return el("p", { class: "quiet" }, empty);
  const head = el("tr", { role: "row" }, heads.map((text) => el("th", { scope: "col", role: "columnheader" }, text)));
  // On a phone each row is a block of lines, which a browser would no longer call a table: so the roles are said.
  const body = rows.map((cells) => el("tr", { role: "row" }, cells.map((cell, at) => el("td", { role: "cell", "data-head": heads[at] }, cell))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { role: "table" }, el("caption", { class: "unseen" }, caption), el("thead", { role: "rowgroup" }, head), el("tbody", { role: "rowgroup" }, body)));
}

export const severityMark = (severity: string): HTMLElement => el("span", { class: `mark ${severity}` }, severity);
