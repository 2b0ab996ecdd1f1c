/**
 * What a push does: shows, replaces and withdraws by tag; a click opens the alert and marks it read.
 *
 * What comes (workers/fallback/src/channel/push/render.rs): `{alert, user, title, body, url, severity, tag, unread}` to show, or
 * `{withdraw: [alerts], user, unread, more}` to take back. A repeated push has the same tag, so it replaces and does not
 * add (design, I6) and does not ring again. Another alert under the same tag, or the same one grown worse, rings. `web_push` and
 * `notification` are for browsers that show a push by themselves (Declarative Web Push); they say the same and are not read here.
 *
 * Every push shows something, unless a page of ours is visible: browsers count those that do not, and show a notice of their own
 * or end the subscription. An alert that somebody is looking at is not shown beside it; a withdrawal after which nothing is left
 * shows something quiet, which closes itself.
 *
 * An alert with buttons has `actions` (`{id, title, url}`, `{id, title, answers: true}`, or `{id, title, acknowledges: true}`), and with one
 * that answers or acknowledges `answers_at`, where a POST does so without a token.
 */
import { within } from "./deadline.ts";
import { OPENED_CACHE, noteOf } from "./push.ts";

export const worker = self as unknown as {
  addEventListener(name: string, heard: (event: never) => void): void;
  registration: ServiceWorkerRegistration;
  clients: { matchAll(options: object): Promise<PageClient[]>; openWindow(url: string): Promise<unknown> };
  location: Location;
  navigator?: { language?: string; setAppBadge?(count: number): Promise<void> };
};
interface PageClient { url: string; visibilityState: string; focus(): Promise<unknown>; postMessage(message: unknown, ports?: MessagePort[]): void }
export interface Extendable { waitUntil(done: Promise<unknown>): void }
interface Button { id: string; title: string; url?: string; answers?: boolean; acknowledges?: boolean }
export interface Shown { alert: string; user?: string; url?: string | null; page?: string; severity?: string; actions?: Button[]; answers_at?: string }
/** A push that is none of ours, as it came. */
interface Other { other: string }
export type PushSaid = Other | (Shown & { title: string; body?: string | null; severity?: string; tag: string; image?: string; unread?: number }) | { withdraw: string[]; unread?: number };

const pages = () => worker.clients.matchAll({ type: "window", includeUncontrolled: true });

/**
 * One push after the other. Chromium forgets a notification that is being shown while `getNotifications` runs, and it
 * could not be withdrawn any more.
 */
let last: Promise<void> = Promise.resolve();

/** How long one push may keep the next waiting. Browsers end a worker that takes longer. */
const PUSH_WITHIN_MS = 20_000;

export function inTurn(said: PushSaid): Promise<void> {
  return last = last.catch(() => undefined).then(() => within(PUSH_WITHIN_MS, "the browser does not show this push", obey(said)));
}

/** What a push says. One that is none of ours, such as a test from a browser's tools, is shown as it came. */
export function saidBy(data: { json(): unknown; text(): string }): PushSaid {
  try {
    const said = data.json() as Record<string, unknown> | null;
    if (Array.isArray(said?.["withdraw"]) || ["alert", "title", "tag"].every((field) => typeof said?.[field] === "string")) return said as unknown as PushSaid;
  } catch { /* It is no JSON. */ }
  return { other: data.text().slice(0, OTHER_CHARS_MAX) };
}

const OTHER_CHARS_MAX = 200;
const OTHER_TAG = "watchbell-other";

async function obey(said: PushSaid): Promise<void> {
  if ("other" in said) return worker.registration.showNotification(said.other, { tag: OTHER_TAG, data: {} });
  // Not waited for: some systems never answer.
  if (said.unread !== undefined) worker.navigator?.setAppBadge?.(said.unread).catch(() => undefined);
  if ("withdraw" in said) return withdraw(said.withdraw);
  const { alert, user, title, body, url, page, severity, tag, image, actions, answers_at } = said;
  if (await isLookedAt(alert, user)) return;
  const shown = (await worker.registration.getNotifications({ tag })).map(({ data }) => data as Shown);
  const options = { tag, renotify: rings({ alert, severity }, shown), requireInteraction: severity === "critical", data: { alert, user, url, page, severity, actions, answers_at } };
  const beside = { ...(body && { body }), ...(image && { image }), ...(actions && { actions: actions.map(({ id, title }) => ({ action: id, title })) }) };
  await worker.registration.showNotification(title, { ...options, ...beside });
}

/** What a withdrawal shows where nothing else is left, by language. */
const OVER: Record<string, string> = { en: "No longer open", de: "Nicht mehr offen", es: "Ya no está abierta", fr: "N’est plus ouverte", ja: "対応は不要になりました", ar: "لم يعد مفتوحًا" };
const OVER_TAG = "watchbell-over";
/** How long that stays. The browser looks what is shown only after the push is done. */
const OVER_FOR_MS = 2_000;

async function withdraw(alerts: string[]): Promise<void> {
  const open = (await worker.registration.getNotifications()).filter((shown) => {
    const isOver = shown.tag === OVER_TAG || alerts.includes((shown.data as Shown | null)?.alert ?? "");
    if (isOver) shown.close();
    return !isOver;
  });
  if (open.length || (await pages()).some(({ visibilityState }) => visibilityState === "visible")) return;
  const language = worker.navigator?.language?.split("-")[0] ?? "en";
  await worker.registration.showNotification(OVER[language] ?? OVER["en"] ?? "", { tag: OVER_TAG, silent: true, data: {} });
  // Not waited for: it has to be there when the push is done. If the browser ends this worker first, the next withdrawal closes it.
  setTimeout(() => void closeOver(), OVER_FOR_MS);
}

async function closeOver(): Promise<void> {
  for (const shown of await worker.registration.getNotifications({ tag: OVER_TAG })) shown.close();
}

/** How long a page may take to answer. One of an earlier version does not. */
const PAGE_ANSWERS_WITHIN_MS = 300;

/** Asks a page of ours; undefined: it says nothing. */
function ask(page: PageClient, question: object): Promise<unknown> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(() => resolve(undefined), PAGE_ANSWERS_WITHIN_MS);
    page.postMessage(question, [port2]);
  });
}

/** Whether somebody has the alert before their eyes. */
async function isLookedAt(alert: string, user?: string): Promise<boolean> {
  const visible = (await pages()).filter(({ visibilityState }) => visibilityState === "visible");
  const answers = await Promise.all(visible.map((page) => ask(page, { watchbell: "looking", alert, user })));
  return answers.includes(true);
}

/**
 * The browser ended the subscription, or changed it. Only a page can register the new one, because a worker has no token: those that are
 * open do it now, and else the one that is opened next.
 */
export async function resubscribe({ oldSubscription, newSubscription }: { oldSubscription?: PushSubscription | null; newSubscription?: PushSubscription | null }): Promise<void> {
  if (!newSubscription && oldSubscription) await worker.registration.pushManager.subscribe(oldSubscription.options);
  for (const page of await pages()) page.postMessage({ watchbell: "subscription" });
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
 * A button of the alert. One that answers or acknowledges says so to the server, which needs no token for it and is not read: it may be at another origin.
 * An answer that does not get there is for the person to give again, so the alert is opened.
 */
export async function press(shown: Shown, id: string): Promise<void> {
  const button = shown.actions?.find((action) => action.id === id);
  if (!(button?.answers || button?.acknowledges) || !shown.answers_at) return open({ ...shown, url: button?.url ?? shown.url ?? null });
  const action = button.answers ? `?action=${encodeURIComponent(id)}` : "";
  const answered = fetch(shown.answers_at + action, { method: "POST", mode: "no-cors", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  await answered.catch(() => open(shown));
}

/** How long an answer may take. A browser ends a worker that takes longer over a click. */
const ANSWER_WITHIN_MS = 10_000;

/** How long a cache may take: the person waits for the page. */
const NOTED_WITHIN_MS = 1_000;

async function note(user: string, alert: string): Promise<void> {
  const cache = await caches.open(OPENED_CACHE);
  await cache.put(noteOf(user, alert), new Response());
}

/**
 * A click. It is noted as opened by whom the push was for; a page of ours says so to the server, now or when that person is
 * next here. Without an address of its own the alert is shown by a page of ours: by one of that person, the last used first.
 */
export async function open({ alert, user, url, page }: Shown): Promise<void> {
  // One of an earlier version does not say whose it is, and is nobody's to read. What cannot be noted is opened all the same.
  if (user) await within(NOTED_WITHIN_MS, "the cache does not answer", note(user, alert)).catch(() => undefined);
  const ours = await pages();
  for (const one of ours) one.postMessage({ watchbell: "opened" });
  if (url && /^https?:/i.test(url)) {
    const there = ours.find((one) => one.url === url);
    await (there ? there.focus() : worker.clients.openWindow(url));
    return;
  }
  const users = await Promise.all(ours.map((one) => ask(one, { watchbell: "whose" })));
  const target = ours[users.indexOf(user)] ?? ours[0];
  if (target) {
    target.postMessage({ watchbell: "show", alert });
    await target.focus();
  } else await worker.clients.openWindow(page ?? worker.location.origin);
}
