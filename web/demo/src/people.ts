/** The people of the demo, each with a session of their own: the one who is looked at, and the badges of the others. */
import { Watchbell } from "@watchbell/client";

export interface Person { user: string; token: string; email: string; device: string }
export interface Demo { url: string; page: string; simulator: string; producer_key: string; users: Person[] }

/** Where this tab keeps the producer key. The simulator's page reads it there, too. */
export const PRODUCER_KEY = "watchbell demo key";
/** The server wants a key, and this one is none. */
export class NotLetIn extends Error {}

/** Asks the server, as the producer when this tab has its key. */
export async function request<T>(path: string, options: RequestInit = {}): Promise<T> {
  const key = sessionStorage.getItem(PRODUCER_KEY);
  const headers = { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...(options.headers as Record<string, string> | undefined) };
  const response = await fetch(path, { signal: AbortSignal.timeout(8_000), ...options, headers });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const body = text && isJson ? JSON.parse(text) : {};
  if (!response.ok) {
    const why = [body.field, body.detail ?? body.title ?? `HTTP ${response.status}`].filter(Boolean).join(": ");
    throw [401, 403].includes(response.status) ? new NotLetIn(why) : new Error(why);
  }
  return body as T;
}

/** A session for one person, with the token that the page came with until the client wants a new one. */
export function sessionOf(person: Person): Watchbell {
  return new Watchbell({
    tabs: person.user,
    token: async ({ fresh }) => {
      if (fresh) await renew(person);
      return person.token;
    },
  });
}

/** Takes a new token for this person from the server. */
export async function renew(person: Person): Promise<void> {
  const demo = await request<Demo>("/demo.json");
  person.token = demo.users.find(({ user }) => user === person.user)?.token ?? person.token;
}
