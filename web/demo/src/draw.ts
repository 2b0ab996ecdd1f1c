/** Drawing for the demo page. What came from elsewhere goes on screen as text only. */

export type Part = [tag: string, className: string, content?: string | Part[], attributes?: Record<string, string>];

export interface Card {
  key: string;
  look: string;
  parts: Part[];
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function put(id: string, text: string): void {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

export function build([tag, className, content = "", attributes = {}]: Part): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content.map(build) : [content]));
  return made;
}

/** Makes a list show these cards in this order. Items are kept by key, and with them focus and scrolling. */
export function draw(id: string, cards: readonly Card[], empty: string): void {
  const list = byId(id);
  const had = new Map([...list.children].map((item) => [(item as HTMLElement).dataset["key"] ?? "", item as HTMLElement]));
  const keys = new Set(cards.map(({ key }) => key));
  for (const [key, item] of had) if (!keys.has(key)) item.remove();
  cards.forEach(({ key, look, parts }, at) => {
    const item = had.get(key) ?? build(["li", "", "", { "data-key": key }]);
    const shown = JSON.stringify(parts);
    item.className = look;
    if (item.dataset["shown"] !== shown) {
      const focused = item.contains(document.activeElement);
      item.replaceChildren(...parts.map(build));
      item.dataset["shown"] = shown;
      if (focused) item.querySelector("button")?.focus();
    }
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  list.dataset["empty"] = empty;
}

export const clock = (at: string): string => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
