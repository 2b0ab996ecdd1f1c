/** Web Push: this browser as one of the person's devices. */
import type { Watchbell } from "@watchbell/client";

/** Registers the service worker at `worker` and the browser's subscription as a device. `key`: the server's VAPID key. */
export async function enablePush(client: Watchbell, worker: string, key: string): Promise<void> {
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) throw new Error("this browser has no Web Push");
  if ((await Notification.requestPermission()) !== "granted") throw new Error("notifications are blocked");
  await navigator.serviceWorker.register(worker);
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await client.request("PUT", `/v1/devices/${deviceId()}`, { service: "webpush", token: JSON.stringify(subscription) });
}

/** The same device as before, when this browser registers again. */
function deviceId(): string {
  const name = "watchbell device";
  const id = localStorage.getItem(name) ?? `web-${crypto.randomUUID()}`;
  localStorage.setItem(name, id);
  return id;
}

/** Notifications that the service worker asks the page to mark read. */
export function hearPushWorker(client: Watchbell): () => void {
  const heard = ({ data }: MessageEvent) => {
    if (data?.watchbell === "opened") client.say([data.alert], "read");
  };
  navigator.serviceWorker?.addEventListener("message", heard);
  return () => navigator.serviceWorker?.removeEventListener("message", heard);
}
