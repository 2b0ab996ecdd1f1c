/**
 * This browser as one of the person's devices, by Web Push. The sender is the real one: it encrypts for the keys that were
 * registered and calls the push service. That is the simulator, which decrypts as a browser would; what came out, this
 * page hands to its service worker.
 */
import type { Watchbell } from "@watchbell/client";
import { deviceId, disablePush, enablePush } from "@watchbell/inbox";
import { request } from "./people.ts";

interface Pushed { kind: string; to: string; last_at: string; payload: unknown }

/** The simulator's name for this browser, of this person. */
const nameOf = (user: string): string => `${user}.${deviceId()}`;
/** Up to when pushes were handed over; kept, so that a reload does not show them again. Null: push is off. */
const keyOf = (user: string): string => `watchbell demo pushed ${user}`;

export const isPushOn = (user: string): boolean => localStorage.getItem(keyOf(user)) !== null;

export async function pushHere(client: Watchbell, user: string, on: boolean): Promise<void> {
  if (on) {
    await enablePush(client, "/push-worker.js", () => request<PushSubscriptionJSON>(`/simulator/webpush/${nameOf(user)}`));
    if (!isPushOn(user)) localStorage.setItem(keyOf(user), new Date().toISOString());
  } else {
    await disablePush(client);
    localStorage.removeItem(keyOf(user));
  }
}

/** Hands over what came since the last time, withdrawals as well. One window of a browser does it: the one that leads. */
export async function handOver(user: string): Promise<void> {
  const since = localStorage.getItem(keyOf(user));
  const active = (await navigator.serviceWorker?.getRegistration("/"))?.active;
  if (since === null || !active) return;
  const arrivals = await request<Pushed[]>(`/simulator/arrivals?user=${encodeURIComponent(user)}&all=1&since=${encodeURIComponent(since)}`);
  const mine = arrivals.filter(({ kind, to, last_at }) => kind === "webpush" && to === nameOf(user) && last_at > since);
  mine.sort((a, b) => a.last_at.localeCompare(b.last_at));
  for (const { payload } of mine) active.postMessage({ push: payload });
  const last = mine[mine.length - 1];
  if (last) localStorage.setItem(keyOf(user), last.last_at);
}
