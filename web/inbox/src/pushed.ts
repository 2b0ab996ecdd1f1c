/**
 * What a push does: shows, replaces and withdraws by tag; a click opens the alert and marks it read.
 *
 * What comes (workers/fallback/src/channel/push/render.rs): `{alert, user, title, body, url, severity, tag, unread}` to show, or
 * `{withdraw: [alerts], user, unread, more}` to take back. A repeated push has the same tag, so it replaces and does not
 * add (design, I6) and does not ring again. Another alert under the same tag, or the same one grown worse, rings.
 *
 * An alert with buttons has `actions` (`{id, title, url}`, or `{id, title, answers: true}`), and with one that answers `answers_at`, where
 * a POST answers without a token.
 */
import { OPENED_CACHE, noteOf } from "./push.ts";

export const worker = self as unknown as {
  addEventListener(name: string, heard: (event: never) => void): void;
  registration: ServiceWorkerRegistration;
  clients: { matchAll(options: object): Promise<PageClient[]>; openWindow(url: string): Promise<unknown> };
  location: Location;
};
interface PageClient { focus(): Promise<unknown>; postMessage(message: unknown): void }
export interface Extendable { waitUntil(done: Promise<unknown>): void }
interface Button { id: string; title: string; url?: string; answers?: boolean }
export interface Shown { alert: string; user?: string; url?: string | null; severity?: string; actions?: Button[]; answers_at?: string }
export type PushSaid = (Shown & { title: string; body?: string | null; severity?: string; tag: string; image?: string }) | { withdraw: string[] };

/**
 * One push after the other. Chromium forgets a notification that is being shown while `getNotifications` runs, and it
 * could not be withdrawn any more.
 */
let last: Promise<void> = Promise.resolve();

export function inTurn(said: PushSaid): Promise<void> {
  return last = last.catch(() => undefined).then(() => obey(said));
}

async function obey(said: PushSaid): Promise<void> {
  if ("withdraw" in said) {
    for (const shown of await worker.registration.getNotifications()) {
      if (said.withdraw.includes((shown.data as Shown).alert)) shown.close();
    }
    return;
  }
  const { alert, user, title, body, url, severity, tag, image, actions, answers_at } = said;
  const shown = (await worker.registration.getNotifications({ tag })).map(({ data }) => data as Shown);
  const options = { tag, renotify: rings({ alert, severity }, shown), requireInteraction: severity === "critical", data: { alert, user, url, severity, actions, answers_at } };
  const beside = { ...(body && { body }), ...(image && { image }), ...(actions && { actions: actions.map(({ id, title }) => ({ action: id, title })) }) };
  await worker.registration.showNotification(title, { ...options, ...beside });
}

/** From the least to the worst, as the server names them. */
const SEVERITIES = ["info", "warning", "critical"];

/**
 * Whether replacing what is shown under its tag makes a sound: for another alert, and for one that is worse than it was.
 * Browsers are silent about a replacement unless they are told.
 */
export function rings(said: { alert: string; severity?: string }, shown: Shown[]): boolean {
  const rank = (severity = "warning") => SEVERITIES.indexOf(severity);
  return shown.some((before) => before.alert !== said.alert || rank(before.severity) < rank(said.severity));
}

/**
 * A button of the alert. One that answers says so to the server, which needs no token for it and is not read: it may be at another origin.
 * An answer that does not get there is for the person to give again, so the alert is opened.
 */
export async function press(shown: Shown, id: string): Promise<void> {
  const button = shown.actions?.find((action) => action.id === id);
  if (!button?.answers || !shown.answers_at) return open({ ...shown, url: button?.url ?? shown.url ?? null });
  const answered = fetch(`${shown.answers_at}?action=${encodeURIComponent(id)}`, { method: "POST", mode: "no-cors", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  await answered.catch(() => open(shown));
}

/** How long an answer may take. A browser ends a worker that takes longer over a click. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * A click. It is noted as opened by whom the push was for; a page of ours says so to the server, now or when that person is
 * next here. Without an address of its own the alert is shown by a page of ours.
 */
export async function open({ alert, user, url }: Shown): Promise<void> {
  const cache = await caches.open(OPENED_CACHE);
  // One of an earlier version does not say whose it is, and is nobody's to read.
  if (user) await cache.put(noteOf(user, alert), new Response());
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ watchbell: "opened" });
  if (url && /^https?:/i.test(url)) await worker.clients.openWindow(url);
  else if (pages[0]) {
    pages[0].postMessage({ watchbell: "show", alert });
    await pages[0].focus();
  } else await worker.clients.openWindow(worker.location.origin);
}
