/** Small helpers for building and updating DOM. Text goes in as text only, so nothing an alert says is run. */

type Attributes = Record<string, string | boolean | ((event: Event) => void) | undefined>;

/** An element with attributes, `on…` listeners and children. `false` and `undefined` leave an attribute out. */
export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Makes `list` show one child a key, in this order. A child is kept while its look stays, and with it focus and scrolling. */
export function keyed<T>(list: HTMLElement, items: readonly T[], key: (item: T) => string, look: (item: T) => string, make: (item: T) => HTMLElement): void {
  const had = new Map([...list.children].map((child) => [(child as HTMLElement).dataset["key"] ?? "", child as HTMLElement]));
  const wanted = new Set(items.map(key));
  for (const [name, child] of had) if (!wanted.has(name)) child.remove();
  items.forEach((item, at) => {
    const name = key(item);
    let child = had.get(name);
    if (!child || child.dataset["look"] !== look(item)) {
      const made = make(item);
      Object.assign(made.dataset, { key: name, look: look(item) });
      const focused = child?.querySelector<HTMLElement>(":focus")?.dataset["do"];
      if (child) child.replaceWith(made);
      if (focused) (made.querySelector<HTMLElement>(`[data-do="${focused}"]`) ?? made.querySelector<HTMLElement>("[data-do]"))?.focus();
      child = made;
    }
    if (list.children[at] !== child) list.insertBefore(child, list.children[at] ?? null);
  });
}

export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Links only to web addresses: an alert must not smuggle in a script. */
export function webAddress(url: string | undefined): string | undefined {
  return url && /^https?:\/\//i.test(url) && URL.canParse(url) ? url : undefined;
}
