/** What this page has to do with Web Push before anybody turns it on: it hears what its service worker says. */
import { within } from "./deadline.ts";
import type { Snapshot, Watchbell } from "@watchbell/client";
import { storeText, storedText } from "./storage.ts";

/** Where the service worker notes what was opened while no page was there to say so. */
export const OPENED_CACHE = "watchbell-opened";

/** Null where the page may have none: even asking throws in a sandboxed frame. */
export function serviceWorkers(): ServiceWorkerContainer | null {
  try {
    return navigator.serviceWorker ?? null;
  } catch {
    return null;
  }
}

const DEVICE = "watchbell device";

/** The same device as before, when this browser registers again. */
export function deviceId(): string {
  const known = storedText(DEVICE);
  const id = known ?? `web-${crypto.randomUUID()}`;
  if (!known) storeText(DEVICE, id);
  return id;
}

/** What the worker and the address ask of a page. */
export interface PushPage {
  /** Shows an alert, which was clicked on. */
  show(alert: string): void;
  /** Whether the person has this alert before their eyes. */
  isLookingAt(alert: string): boolean;
  /** Registers this browser again, if it is a device. */
  renew(): void;
  /** Whether this browser is a device, whose icon has the number of what is unread. */
  isDevice(): boolean;
}

/** The alert that the address of this page names, as a browser opened it that showed a push by itself. It is asked for once. */
function alertInAddress(): string | null {
  const [whole, alert] = /[#&]watchbell=([^&]+)/.exec(location.hash) ?? [];
  if (!whole || !alert) return null;
  const rest = location.hash.replace(whole, "");
  history.replaceState(history.state, "", location.pathname + location.search + rest);
  try {
    return decodeURIComponent(alert);
  } catch {
    return null; // Nobody of us wrote it.
  }
}

/**
 * Says `read` of the alerts whose notifications were opened, now and while no page was there, and answers what the worker asks of this
 * page.
 *
 * A note is of one person. It is read only by a session of that person which the server has greeted, because what is
 * said before that goes out as whoever is greeted next. A session that begins drops the notes of others, and one that
 * ends by signing out drops all.
 */
export function hearPushWorker(client: Watchbell, page: PushPage): () => void {
  /** Undefined: not known at the moment, because the connection is being made. */
  let user: string | null | undefined;
  let wasHere = false;
  const look = () => { if (user) void readOpened(client, user); };
  let badge: number | undefined;
  const count = () => {
    const { status, unread } = client.snapshot;
    const { setAppBadge } = navigator as { setAppBadge?: (count: number) => Promise<void> };
    if (status !== "live" || unread === badge || !setAppBadge || !page.isDevice()) return;
    badge = unread;
    setAppBadge.call(navigator, unread).catch(() => undefined); // Where no icon may have one.
  };
  const follow = () => {
    count();
    const now = whoIsHere(client.snapshot);
    if (now === user) return;
    user = now;
    const named = now ? alertInAddress() : null;
    if (named) page.show(named);
    if (now || (now === null && wasHere)) void forgetOpened(now).then(look);
    wasHere ||= Boolean(now);
  };
  const heard = ({ data, ports }: MessageEvent) => {
    const isHere = document.visibilityState === "visible" && document.hasFocus();
    switch (data?.watchbell) {
      case "opened": look(); break;
      case "show": page.show(String(data.alert)); break;
      case "subscription": page.renew(); break;
      case "whose": ports[0]?.postMessage(user ?? null); break;
      case "looking": ports[0]?.postMessage(isHere && data.user === user && page.isLookingAt(String(data.alert))); break;
    }
  };
  serviceWorkers()?.addEventListener("message", heard);
  // A page that the back button brings back was no page when the worker spoke.
  window.addEventListener("pageshow", look);
  const unsubscribe = client.subscribe(follow);
  follow();
  return () => {
    unsubscribe();
    serviceWorkers()?.removeEventListener("message", heard);
    window.removeEventListener("pageshow", look);
  };
}

/** Whose session it is, null when somebody has signed out or was refused, undefined while the server has not greeted it. */
function whoIsHere({ status, user, ended }: Snapshot): string | null | undefined {
  if (status === "live") return user;
  return status === "idle" || (status === "closed" && ended?.why !== "gave-up") ? null : undefined;
}

/** How long a cache may take. */
const CACHE_WITHIN_MS = 5_000;

/** The name of a note in the cache. */
export const noteOf = (user: string, alert: string): string => `/?${new URLSearchParams({ user, alert })}`;

async function notes(): Promise<{ user: string | null; alert: string | null; drop: () => Promise<boolean> }[]> {
  try {
    const cache = await within(CACHE_WITHIN_MS, "the cache does not answer", caches.open(OPENED_CACHE));
    return (await within(CACHE_WITHIN_MS, "the cache does not answer", cache.keys())).map((request) => {
      const said = new URL(request.url).searchParams;
      return { user: said.get("user"), alert: said.get("alert"), drop: () => cache.delete(request) };
    });
  } catch {
    return []; // Only in secure contexts, as service workers are, and not in sandboxed frames.
  }
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
