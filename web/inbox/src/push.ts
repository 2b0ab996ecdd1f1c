/** Web Push: this browser as one of the person's devices. */
import { HttpError, type Watchbell } from "@watchbell/client";

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

/** Says `read` of the alerts whose notifications were opened, now and while no page was there; `show` is for this page. */
export function hearPushWorker(client: Watchbell, show: (alert: string) => void): () => void {
  const heard = ({ data }: MessageEvent) => {
    if (data?.watchbell === "opened") void readOpened(client);
    if (data?.watchbell === "show") show(String(data.alert));
  };
  // A page that the back button brings back was no page when the worker spoke.
  const back = () => void readOpened(client);
  navigator.serviceWorker?.addEventListener("message", heard);
  window.addEventListener("pageshow", back);
  void readOpened(client);
  return () => {
    navigator.serviceWorker?.removeEventListener("message", heard);
    window.removeEventListener("pageshow", back);
  };
}

async function readOpened(client: Watchbell): Promise<void> {
  if (!("caches" in globalThis)) return; // Only in secure contexts, as service workers are.
  const cache = await caches.open(OPENED_CACHE);
  for (const request of await cache.keys()) {
    const alert = decodeURIComponent(new URL(request.url).pathname.split("/").pop() ?? "");
    // Whoever deletes it says it: two tabs may be here.
    if (await cache.delete(request)) client.say([alert], "read");
  }
}
