/**
 * The service worker for Web Push: shows, replaces and withdraws by tag; a click opens the alert and marks it read.
 *
 * The payload is `{alert, title, body, url, token_url?}` to show, or `{withdraw: [ids]}` to take back. The tag is the alert's id, so a
 * repeated push replaces and does not add (design, I6). A browser shows a notice of its own when a push shows nothing,
 * so a withdrawal for which nothing is shown any more shows nothing and relies on the browser's allowance.
 */
const worker = self as unknown as {
  addEventListener(name: string, heard: (event: never) => void): void;
  registration: ServiceWorkerRegistration;
  clients: { matchAll(options: object): Promise<PageClient[]>; openWindow(url: string): Promise<unknown> };
  location: Location;
};
interface PageClient { url: string; focus(): Promise<unknown>; postMessage(message: unknown): void }
interface Extendable { waitUntil(done: Promise<unknown>): void }
type PushSaid = { alert: string; title: string; body?: string; url?: string; severity?: string } | { withdraw: string[] };

worker.addEventListener("push", (event: Extendable & { data: { json(): PushSaid } | null }) => {
  if (event.data) event.waitUntil(obey(event.data.json()));
});

worker.addEventListener("notificationclick", (event: Extendable & { notification: Notification }) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data as { alert: string; url?: string }));
});

async function obey(said: PushSaid): Promise<void> {
  if ("withdraw" in said) {
    for (const tag of said.withdraw) for (const shown of await worker.registration.getNotifications({ tag })) shown.close();
    return;
  }
  const { alert, title, body, url, severity } = said;
  const options = { tag: alert, renotify: false, requireInteraction: severity === "critical", data: { alert, url } };
  await worker.registration.showNotification(title, body === undefined ? options : { ...options, body });
}

/** A page of ours that is open is asked to mark it read; without one, the page that is opened is told by its address. */
async function open({ alert, url }: { alert: string; url?: string }): Promise<void> {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  pages[0]?.postMessage({ watchbell: "opened", alert });
  if (url && /^https?:/i.test(url)) {
    await worker.clients.openWindow(url);
    if (pages[0]) return;
  } else if (pages[0]) {
    await pages[0].focus();
    return;
  }
  await worker.clients.openWindow(`${worker.location.origin}/?watchbell-read=${encodeURIComponent(alert)}`);
}
