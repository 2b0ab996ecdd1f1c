/** Web Push as a browser's own push service brings it: over DevTools, because no vendor's service is there in tests. */
import type { CDPSession, Page } from "playwright-core";
import { until } from "./until.ts";

/**
 * Pushes to the service worker of a page, and what it shows.
 *
 * Chromium reconciles its list of notifications with the screen on every `getNotifications()`, and loses one that is
 * just being shown. So nothing here asks for them while a push is under way: its end is told by DevTools.
 */
export class PushService {
  #registration = "";
  #delivered = 0;
  #completed = 0;
  #displayed = 0;

  private constructor(readonly page: Page, readonly devtools: CDPSession) {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      for (const one of registrations) if (!one.isDeleted) this.#registration = one.registrationId;
    });
    devtools.on("BackgroundService.backgroundServiceEventReceived", ({ backgroundServiceEvent }) => {
      if (backgroundServiceEvent.eventName === "Push event completed") this.#completed += 1;
      if (backgroundServiceEvent.eventName === "Notification displayed") this.#displayed += 1;
    });
  }

  static async of(page: Page): Promise<PushService> {
    const made = new PushService(page, await page.context().newCDPSession(page));
    for (const service of ["pushMessaging", "notifications"] as const) {
      await made.devtools.send("BackgroundService.setRecording", { service, shouldRecord: true });
      await made.devtools.send("BackgroundService.startObserving", { service });
    }
    await made.devtools.send("ServiceWorker.enable");
    return made;
  }

  /** Resolves when the service worker has done all that the push asked for. */
  async deliver(data: unknown): Promise<void> {
    const registrationId = await until("a service worker is registered", () => this.#registration);
    const origin = new URL(this.page.url()).origin;
    const nth = ++this.#delivered;
    await this.devtools.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: JSON.stringify(data) });
    await until("the push is completed", () => this.#completed >= nth);
  }

  /** Resolves when so many notifications were displayed, whoever asked for it. */
  async displayed(count: number): Promise<void> {
    await until(`${count} notifications are displayed`, () => this.#displayed >= count);
  }

  /** Title and tag of what is on screen. */
  shown(): Promise<string[][]> {
    return this.page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(({ title, tag }) => [title, tag]));
  }

  /** Whether what is shown under this tag rang when it replaced what was there. */
  renotifies(tag: string): Promise<boolean | undefined> {
    return this.page.evaluate(async (tag) => {
      const [shown] = await (await navigator.serviceWorker.ready).getNotifications({ tag });
      return (shown as { renotify?: boolean } | undefined)?.renotify;
    }, tag);
  }

  /**
   * Clicks what is shown under this tag, or a button of it; answers the addresses that the worker opened. A click made by a script may
   * neither hold the worker nor open windows, so both are stood in for.
   */
  click(tag: string, action = ""): Promise<string[]> {
    const worker = this.page.context().serviceWorkers()[0];
    if (!worker) throw new Error("no service worker runs");
    return worker.evaluate(async ({ tag, action }) => {
      const { registration, clients } = self as unknown as { registration: ServiceWorkerRegistration; clients: { openWindow: unknown } };
      const [notification] = await registration.getNotifications({ tag });
      if (!notification) throw new Error(`nothing is shown under ${tag}`);
      const opened: string[] = [];
      clients.openWindow = (url: string) => { opened.push(url); return Promise.resolve(); };
      Object.defineProperty((self as unknown as { WindowClient: { prototype: object } }).WindowClient.prototype, "focus", { value: () => Promise.resolve(), configurable: true });
      const Click = (self as unknown as { NotificationEvent: new (name: string, of: object) => Event }).NotificationEvent;
      let done: Promise<unknown> = Promise.resolve();
      const event = Object.assign(new Click("notificationclick", { notification, action }), { waitUntil: (work: Promise<unknown>) => { done = work; } });
      self.dispatchEvent(event);
      await done;
      return opened;
    }, { tag, action });
  }
}
