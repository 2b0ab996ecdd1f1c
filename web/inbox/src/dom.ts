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

/**
 * Makes `list` show one child a key, in this order. A child is kept while its look stays. One that is drawn anew or moved
 * keeps what the person has opened in it, and the focus.
 */
export function keyed<T>(list: HTMLElement, items: readonly T[], key: (item: T) => string, look: (item: T) => string, make: (item: T) => HTMLElement): void {
  const had = new Map([...list.children].map((child) => [(child as HTMLElement).dataset["key"] ?? "", child as HTMLElement]));
  const wanted = new Set(items.map(key));
  let focus = list.querySelector<HTMLElement>(":focus");
  for (const [name, child] of had) if (!wanted.has(name)) child.remove();
  items.forEach((item, at) => {
    const name = key(item);
    let child = had.get(name);
    if (!child || child.dataset["look"] !== look(item)) {
      const made = make(item);
      Object.assign(made.dataset, { key: name, look: look(item) });
      for (const button of child?.querySelectorAll<HTMLElement>("[aria-expanded=true]") ?? []) {
        const same = counterpart(made, button);
        if (same) disclose(same, true);
      }
      if (focus && child?.contains(focus)) focus = counterpart(made, focus) ?? made.querySelector<HTMLElement>("[data-do]");
      child?.replaceWith(made);
      child = made;
    }
    if (list.children[at] !== child) list.insertBefore(child, list.children[at] ?? null);
  });
  if (focus?.isConnected && !focus.matches(":focus")) focus.focus({ preventScroll: true });
}

/** The button of `made` that does what `button` does. */
function counterpart(made: HTMLElement, button: HTMLElement): HTMLElement | undefined {
  const nameOf = ({ dataset }: HTMLElement) => [dataset["do"], dataset["menu"], dataset["choice"]].join(" ");
  return [...made.querySelectorAll<HTMLElement>("button")].find((one) => nameOf(one) === nameOf(button));
}

/** Shows or hides what follows a button. */
export function disclose(button: HTMLElement, isOpen: boolean): void {
  button.setAttribute("aria-expanded", String(isOpen));
  (button.nextElementSibling as HTMLElement).hidden = !isOpen;
}

export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Links only to web addresses: an alert must not smuggle in a script. */
export function webAddress(url: string | undefined): string | undefined {
  return url && /^https?:\/\//i.test(url) && URL.canParse(url) ? url : undefined;
}
