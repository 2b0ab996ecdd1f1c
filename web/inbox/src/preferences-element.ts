/**
 * `<watchbell-preferences>`: what the gear of the inbox opens, for a settings page of your own. Give it the same client.
 *
 * Attributes: `lang`, `theme`, `push-worker`. What it shows and does is loaded when it is put into a page.
 */
import type { Watchbell } from "@watchbell/client";
import type { PushWorker } from "./push-device.ts";
import { styles } from "./styles.ts";

/** On a server there are no elements, and yet this file is imported there. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class WatchbellPreferences extends Base {
  /** The service worker for Web Push where an attribute does not do. */
  pushWorker: PushWorker | null = null;
  #client: Watchbell | null = null;
  #leave: (() => void) | null = null;
  /** Counts, so that what was loaded for a client that is gone is dropped. */
  #shown = 0;

  get client(): Watchbell | null {
    return this.#client;
  }
  set client(client: Watchbell | null) {
    this.disconnectedCallback();
    this.#client = client;
    if (this.isConnected) this.connectedCallback();
  }

  connectedCallback(): void {
    const client = this.#client;
    if (!client || this.#leave) return;
    const nth = ++this.#shown;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    import("./preferences-page.ts").then(({ preferencesPage }) => {
      if (nth === this.#shown) this.#leave = preferencesPage(this, root, client, styles());
    }, (error: unknown) => root.replaceChildren(String(error)));
  }
  disconnectedCallback(): void {
    this.#shown += 1;
    this.#leave?.();
    this.#leave = null;
  }
}
