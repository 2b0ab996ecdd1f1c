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

export interface Keyed<T> {
  key(item: T): string;
  /** What it looks like: it is made anew where this has changed. */
  look(item: T): string;
  make(item: T): HTMLElement;
  /** A child that is shown no more, also one that was made anew. */
  gone?(child: HTMLElement): void;
}

/**
 * Makes `list` show one child a key, in this order. A child is kept while its look stays. One that is drawn anew or moved
 * keeps what the person has opened in it, and the focus.
 */
export function keyed<T>(list: HTMLElement, items: readonly T[], { key, look, make, gone }: Keyed<T>): void {
  const had = new Map([...list.children].map((child) => [(child as HTMLElement).dataset["key"] ?? "", child as HTMLElement]));
  const wanted = new Set(items.map(key));
  let focus = list.querySelector<HTMLElement>(":focus");
  for (const [name, child] of had) {
    if (wanted.has(name)) continue;
    gone?.(child);
    child.remove();
  }
  items.forEach((item, at) => {
    const name = key(item);
    const shown = look(item);
    let child = had.get(name);
    if (!child || child.dataset["look"] !== shown) {
      if (child) gone?.(child);
      const made = make(item);
      Object.assign(made.dataset, { key: name, look: shown });
      for (const button of child?.querySelectorAll<HTMLElement>("[data-menu][aria-expanded=true]") ?? []) {
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
  return [...made.querySelectorAll<HTMLElement>("button, input")].find((one) => nameOf(one) === nameOf(button));
}

const unmade = new WeakMap<Element, () => HTMLElement[]>();

/** What is in `menu` is made when it is opened first: most menus never are. */
export function madeWhenOpened(menu: HTMLElement, make: () => HTMLElement[]): HTMLElement {
  unmade.set(menu, make);
  return menu;
}

/** Shows or hides what follows a button. */
export function disclose(button: HTMLElement, isOpen: boolean): void {
  const menu = button.nextElementSibling as HTMLElement;
  setAttribute(button, "aria-expanded", String(isOpen));
  menu.hidden = !isOpen;
  if (!isOpen) return;
  menu.append(...unmade.get(menu)?.() ?? []);
  unmade.delete(menu);
}

/** Null takes it away. One that is the same already is not set: for some, such as `lang`, a browser would style all that is inside anew. */
export function setAttribute(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows or hides, and in the top layer where the browser has one, so that nothing of the page lies above or cuts it off. */
export function layer(element: HTMLElement, isShown: boolean): void {
  element.hidden = !isShown;
  if (!element.isConnected || !element.hasAttribute("popover") || !element.showPopover) return;
  if (element.matches(":popover-open") !== isShown) element.togglePopover(isShown);
}

/** Shows or hides the choices that follow a button, and gives the focus to the first, or back to the button. */
export function openMenu(button: HTMLElement, isOpen = button.getAttribute("aria-expanded") !== "true"): void {
  disclose(button, isOpen);
  (isOpen ? button.nextElementSibling?.querySelector("button") : button)?.focus();
}
