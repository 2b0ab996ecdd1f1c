/**
 * Web Push: this browser as one of the person's devices. Loaded when it is turned on or off, and when it is renewed.
 *
 * A subscription is bound to the server's key for life. Where the server gives out another, the browser subscribes anew; until
 * then the server signs with the key that this browser named.
 */
import { HttpError, type Watchbell } from "@watchbell/client";
import { within } from "./deadline.ts";
import { deviceId, serviceWorkers } from "./push.ts";
import { storeText, storedText } from "./storage.ts";

/** Where pushes to this browser go, as its push service says. `key` is the server's, in base64url. */
export type Subscribe = (key: string, worker: ServiceWorkerRegistration) => Promise<PushSubscriptionJSON>;

const subscribe: Subscribe = async (key, { pushManager }) => {
  const standing = await pushManager.getSubscription();
  // Browsers refuse to subscribe with another key beside the one that stands.
  if (standing && !isOf(standing, key)) await standing.unsubscribe();
  return (await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
};

/** Where a browser does not tell its key, it is taken for the same. */
function isOf({ options }: PushSubscription, key: string): boolean {
  const bytes = options?.applicationServerKey;
  if (!bytes) return true;
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "") === key.replace(/=+$/, "");
}

/** What was registered last, and when. */
const REGISTERED = "watchbell registered";
/** A server forgets a browser that was not heard of for two months. */
const RENEWED_AFTER_MS = 24 * 60 * 60 * 1000;

/** What a page under Trusted Types makes of an address by a policy of its own. */
interface TrustedAddress { toString(): string }
/** The service worker: where it is, or as it was registered. */
export type PushWorker = string | TrustedAddress | ServiceWorkerRegistration;

/** How long a worker may take to be fetched and to start. It never does where its scope does not have this page. */
const WORKER_WITHIN_MS = 20_000;
/** How long the browser's push service may take. */
const SUBSCRIBED_WITHIN_MS = 60_000;

/** Registers the service worker, and the browser's subscription as a device. */
export async function enablePush(client: Watchbell, worker: PushWorker, subscription: Subscribe = subscribe): Promise<void> {
  const workers = serviceWorkers();
  if (!workers || !("PushManager" in window)) throw new Error("no Web Push here");
  const { key } = await client.request<{ key: string }>("GET", "/v1/webpush/key");
  if ((await Notification.requestPermission()) !== "granted") throw new Error("notifications are blocked");
  const registration = await registered(workers, worker);
  await register(client, key, await subscribed(subscription(key, registration)));
}

const subscribed = (subscribing: Promise<PushSubscriptionJSON>) => within(SUBSCRIBED_WITHIN_MS, "the browser's push service did not answer", subscribing);

/** The same of a browser that is a device already: asks nobody for a permission, and the server only once a day or when something changed. */
export async function renewPush(client: Watchbell, worker: PushWorker, subscription: Subscribe = subscribe, now = Date.now()): Promise<void> {
  const workers = serviceWorkers();
  if (!workers || !("PushManager" in window) || Notification.permission !== "granted") return;
  const { key } = await client.request<{ key: string }>("GET", "/v1/webpush/key");
  const standing = await subscribed(subscription(key, await registered(workers, worker)));
  const [at = "", ...what] = (storedText(REGISTERED) ?? "").split(" ");
  const age = now - Number(at);
  const isFresh = age >= 0 && age < RENEWED_AFTER_MS;
  if (!isFresh || what.join(" ") !== named(client, key, standing)) await register(client, key, standing, now);
}

const named = (client: Watchbell, key: string, { endpoint }: PushSubscriptionJSON) => JSON.stringify([client.snapshot.user, key, endpoint]);

async function register(client: Watchbell, key: string, subscription: PushSubscriptionJSON, now = Date.now()): Promise<void> {
  const put = (more: object) => client.request("PUT", `/v1/devices/${deviceId()}`, { service: "webpush", ...subscription, ...more });
  // A server of the version before does not know the field, and has one key.
  await put({ vapid_key: key }).catch((error: unknown) => {
    if (!(error instanceof HttpError) || error.status !== 400) throw error;
    return put({});
  });
  storeText(REGISTERED, `${now} ${named(client, key, subscription)}`);
}

async function registered(workers: ServiceWorkerContainer, worker: PushWorker): Promise<ServiceWorkerRegistration> {
  if (typeof worker === "object" && "pushManager" in worker) return worker;
  const started = workers.register((typeof worker === "string" ? trusted(worker) : worker) as string).then(() => workers.ready);
  return within(WORKER_WITHIN_MS, "the service worker did not start for this page: its scope has to have it", started);
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
  storeText(REGISTERED, "");
  await client.request("DELETE", `/v1/devices/${deviceId()}`).catch((error: unknown) => {
    if (!(error instanceof HttpError) || error.status !== 404) throw error;
  });
}
