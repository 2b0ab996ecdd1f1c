/**
 * What this element asks of a session beyond its first version, and what it does where a session does not offer it: one
 * place, so that the rest need not know.
 */
import type { Snapshot, Watchbell } from "@watchbell/client";
import type { Trouble } from "./standing.ts";

/** A small value that all tabs of the person have. */
export interface Shared<T> {
  get(): T | undefined;
  set(value: T): void;
  subscribe(changed: () => void): () => void;
}

interface Newer {
  retry?(): void;
  signIn?(): void;
  shared?(name: string): Shared<unknown>;
  say(alerts: readonly string[], state: "answered", what: { action: string }): void;
}
const newer = (client: Watchbell): Newer => client as unknown as Newer;

/** Why a session is not live; null when it is, or will be in a moment. */
export function reasonOf(now: Snapshot, isOnline: boolean): Trouble | null {
  const { reason } = now as Snapshot & { reason?: Trouble | null };
  if (reason !== undefined) return reason;
  const { status, ended } = now;
  if (status === "idle") return "signed-out";
  if (ended) return ended.why === "refused" && ended.code === ORIGIN_REFUSED ? "origin" : ended.why;
  return status === "offline" ? (isOnline ? "unreachable" : "offline") : null;
}
/** The close code of a page that may not connect. */
const ORIGIN_REFUSED = 4003;

export function retry(client: Watchbell): void {
  const { retry } = newer(client);
  if (retry) retry.call(client);
  else client.start();
}

export function signIn(client: Watchbell): void {
  const { signIn } = newer(client);
  if (signIn) signIn.call(client);
  else client.start();
}

/** The person's answer to an alert. Where the session does not carry answers it is one request, which may be refused. */
export async function answer(client: Watchbell, alert: string, action: string): Promise<void> {
  if (newer(client).retry) return newer(client).say([alert], "answered", { action });
  await client.request("POST", "/v1/inbox/receipts", { alerts: [alert], state: "answered", action });
}

/** A value that all tabs of `user` have: the session's, else by a channel of our own, else of this tab alone. */
export function shared<T>(client: Watchbell, user: string, name: string): Shared<T> & { close(): void } {
  const offered = newer(client).shared?.(name) as Shared<T> | undefined;
  if (offered) return { get: () => offered.get(), set: (value) => offered.set(value), subscribe: (changed) => offered.subscribe(changed), close: () => undefined };
  let value: T | undefined;
  const listeners = new Set<() => void>();
  const take = (next: T) => {
    value = next;
    for (const changed of listeners) changed();
  };
  const channel = channelOf(`watchbell ${user} ${name}`, take);
  return {
    get: () => value,
    set(next) {
      take(next);
      channel?.postMessage(next);
    },
    subscribe(changed) {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    close: () => channel?.close(),
  };
}

function channelOf<T>(name: string, heard: (value: T) => void): BroadcastChannel | null {
  try {
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => heard(data as T);
    return channel;
  } catch {
    return null; // None in this browser, or not for this page.
  }
}
