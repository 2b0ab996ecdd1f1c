/** Web Push: this browser as one of the person's devices. Loaded when it is turned on or off. */
import { HttpError, type Watchbell } from "@watchbell/client";
import { deviceId, serviceWorkers } from "./push.ts";

/** Where pushes to this browser go, as its push service says. `key` is the server's, in base64url. */
export type Subscribe = (key: string, worker: ServiceWorkerRegistration) => Promise<PushSubscriptionJSON>;

const subscribe: Subscribe = async (key, { pushManager }) =>
  (await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();

/** What a page under Trusted Types makes of an address by a policy of its own. */
interface TrustedAddress { toString(): string }
/** The service worker: where it is, or as it was registered. */
export type PushWorker = string | TrustedAddress | ServiceWorkerRegistration;

/** Registers the service worker, and the browser's subscription as a device. */
export async function enablePush(client: Watchbell, worker: PushWorker, subscription: Subscribe = subscribe): Promise<void> {
  const workers = serviceWorkers();
  if (!workers || !("PushManager" in window)) throw new Error("no Web Push here");
  const { key } = await client.request<{ key: string }>("GET", "/v1/webpush/key");
  if ((await Notification.requestPermission()) !== "granted") throw new Error("notifications are blocked");
  const registration = await registered(workers, worker);
  const subscribed = await subscription(key, registration);
  await client.request("PUT", `/v1/devices/${deviceId()}`, { service: "webpush", ...subscribed });
}

async function registered(workers: ServiceWorkerContainer, worker: PushWorker): Promise<ServiceWorkerRegistration> {
  if (typeof worker === "object" && "pushManager" in worker) return worker;
  await workers.register((typeof worker === "string" ? trusted(worker) : worker) as string);
  return workers.ready;
}

interface Policies { createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): TrustedAddress } }
let policy: ReturnType<Policies["createPolicy"]> | undefined;

/**
 * An address of this site, as a page under Trusted Types wants it: its policy of content allows `trusted-types watchbell`.
 * Where it does not, the page gives the worker as a `TrustedScriptURL` or as a registration.
 */
function trusted(address: string): string | TrustedAddress {
  const { trustedTypes } = globalThis as { trustedTypes?: Policies };
  if (!trustedTypes) return address;
  try {
    policy ??= trustedTypes.createPolicy("watchbell", { createScriptURL: sameSite });
    return policy.createScriptURL(address);
  } catch {
    return address; // Where Trusted Types are not asked for, an address is taken as it is.
  }
}

function sameSite(address: string): string {
  if (new URL(address, location.href).origin !== location.origin) throw new TypeError("a service worker is of this site");
  return address;
}

/** This browser is no device any more: nothing is sent to it. */
export async function disablePush(client: Watchbell): Promise<void> {
  await client.request("DELETE", `/v1/devices/${deviceId()}`).catch((error: unknown) => {
    if (!(error instanceof HttpError) || error.status !== 404) throw error;
  });
}
