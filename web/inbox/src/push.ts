/** What this page has to do with Web Push before anybody turns it on: it hears what its service worker says. */
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

/** The name of a note in the cache. */
export const noteOf = (user: string, alert: string): string => `/?${new URLSearchParams({ user, alert })}`;

async function notes(): Promise<{ user: string | null; alert: string | null; drop: () => Promise<boolean> }[]> {
  try {
    const cache = await caches.open(OPENED_CACHE);
    return (await cache.keys()).map((request) => {
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
