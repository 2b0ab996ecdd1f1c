/**
 * Notifications of the desktop, for a page that is open and not looked at. Where the browser has none, nothing is shown. Loaded
 * with the first.
 */
import type { ShownRow } from "./alert.ts";

export class Notifications {
  readonly #shown = new Map<string, Notification>();

  constructor(readonly opened: (alert: string) => void) {}

  show({ alert }: ShownRow): void {
    try {
      const shown = new Notification(alert.title, { tag: alert.id, ...(alert.body === undefined ? {} : { body: alert.body }) });
      shown.onclick = () => {
        window.focus();
        this.opened(alert.id);
        shown.close();
      };
      shown.onclose = () => this.#shown.delete(alert.id);
      this.#shown.set(alert.id, shown);
    } catch {
      // A browser such as Chrome on Android lets only a service worker show one; Web Push is for these.
    }
  }

  /** Takes back what was seen elsewhere. */
  follow(rows: readonly ShownRow[]): void {
    if (this.#shown.size) for (const { alert, state } of rows) if (state !== "new") this.#shown.get(alert.id)?.close();
  }

  close(): void {
    for (const shown of this.#shown.values()) shown.close();
    this.#shown.clear();
  }
}
