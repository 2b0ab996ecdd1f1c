/** Web Push: this browser as one of the person's devices. */
import { HttpError, type Snapshot, type Watchbell } from "@watchbell/client";

/** Where the service worker notes what was opened while no page was there to say so. */
export const OPENED_CACHE = "watchbell-opened";

/** Where pushes to this browser go, as its push service says. `key` is the server's, in base64url. */
export type Subscribe = (key: string, worker: ServiceWorkerRegistration) => Promise<PushSubscriptionJSON>;

const subscribe: Subscribe = async (key, { pushManager }) =>
  (await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();

/** Registers the service worker at `worker`, and the browser's subscription as a device. */
export async function enablePush(client: Watchbell, worker: string, subscription: Subscribe = subscribe): Promise<void> {
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) throw new Error("no Web Push here");
  const { key } = await client.request<{ key: string }>("GET", "/v1/webpush/key");
  if ((await Notification.requestPermission()) !== "granted") throw new Error("notifications are blocked");
  await navigator.serviceWorker.register(worker);
  const subscribed = await subscription(key, await navigator.serviceWorker.ready);
  await client.request("PUT", `/v1/devices/${deviceId()}`, { service: "webpush", ...subscribed });
}

/** This browser is no device any more: nothing is sent to it. */
export async function disablePush(client: Watchbell): Promise<void> {
  await client.request("DELETE", `/v1/devices/${deviceId()}`).catch((error: unknown) => {
    if (!(error instanceof HttpError) || error.status !== 404) throw error;
  });
}

/** The same device as before, when this browser registers again. */
export function deviceId(): string {
  const name = "watchbell device";
  const id = localStorage.getItem(name) ?? `web-${crypto.randomUUID()}`;
  localStorage.setItem(name, id);
  return id;
}

/**
 * Says `read` of the alerts whose notifications were opened, now and while no page was there; `show` is for this page.
 *
 * A note is of one person. It is read only by a session of that person which the server has greeted, because what is
 * said before that goes out as whoever is greeted next. A session that begins drops the notes of others, and one that
 * ends by signing out drops all.
 */
export function hearPushWorker(client: Watchbell, show: (alert: string) => void): () => void {
  /** Undefined: not known at the moment, because the connection is being made. */
  let user: string | null | undefined;
  let wasHere = false;
  const look = () => { if (user) void readOpened(client, user); };
  const follow = () => {
    const now = whoIsHere(client.snapshot);
    if (now === user) return;
    user = now;
    if (now || (now === null && wasHere)) void forgetOpened(now).then(look);
    wasHere ||= Boolean(now);
  };
  const heard = ({ data }: MessageEvent) => {
    if (data?.watchbell === "opened") look();
    if (data?.watchbell === "show") show(String(data.alert));
  };
  navigator.serviceWorker?.addEventListener("message", heard);
  // A page that the back button brings back was no page when the worker spoke.
  window.addEventListener("pageshow", look);
  const unsubscribe = client.subscribe(follow);
  follow();
  return () => {
    unsubscribe();
    navigator.serviceWorker?.removeEventListener("message", heard);
    window.removeEventListener("pageshow", look);
  };
}

/** Whose session it is, null when somebody has signed out or was refused, undefined while the server has not greeted it. */
function whoIsHere({ status, user, ended }: Snapshot): string | null | undefined {
  if (status === "live") return user;
  return status === "idle" || (status === "closed" && ended?.why !== "gave-up") ? null : undefined;
}

/** The name of a note in the cache. */
export const noteOf = (user: string, alert: string): string => `/?${new URLSearchParams({ user, alert })}`;

async function notes(): Promise<{ user: string | null; alert: string | null; drop: () => Promise<boolean> }[]> {
  if (!("caches" in globalThis)) return []; // Only in secure contexts, as service workers are.
  const cache = await caches.open(OPENED_CACHE);
  return (await cache.keys()).map((request) => {
    const said = new URL(request.url).searchParams;
    return { user: said.get("user"), alert: said.get("alert"), drop: () => cache.delete(request) };
  });
}

async function readOpened(client: Watchbell, user: string): Promise<void> {
  for (const note of await notes()) {
    // Whoever deletes it says it: two tabs may be here.
    if (note.user === user && note.alert !== null && (await note.drop())) client.say([note.alert], "read");
  }
}

/** Drops what is not of this person; of nobody: all. */
async function forgetOpened(user: string | null): Promise<void> {
  for (const note of await notes()) if (user === null || note.user !== user) await note.drop();
}
