/**
 * What the page asks its server. A session has two halves: a cookie that no script reads, and a token that is kept here, in the
 * storage of this origin, and shown with each request. Every tab of the origin shares it.
 */

const TOKEN = "watchbell console token";
/** Where the demo page of `watchbell up` keeps the key that it was given. */
const DEMO_KEY = "watchbell demo key";
/** Where somebody was who went to sign in. */
const PLACE = "watchbell console place";
const PATIENCE_MS = 15_000;

/** The session is over, or there is none. */
export class SignedOut extends Error {}

/** What the server refused, in its words. */
export class Refused extends Error {
  constructor(readonly status: number, message: string) { super(message); }
}

/** The tenant that is looked at; empty: the operators' own. */
let tenant = "";
export const lookAt = (name: string): void => { tenant = name; };

/** Asks below `/console/api`. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const token = localStorage.getItem(TOKEN);
  if (token === null) throw new SignedOut();
  return send<T>(method, `/console/api${path}`, body, { "x-watchbell-console": token, ...(tenant ? { "x-watchbell-tenant": tenant } : {}) });
}

async function send<T>(method: string, address: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await fetch(address, {
    method,
    headers: body === undefined ? headers : { ...headers, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const said = (text && isJson ? JSON.parse(text) : {}) as { field?: string; detail?: string; title?: string };
  if (response.ok) return said as T;
  if (response.status === 401 && address.startsWith("/console/api")) {
    localStorage.removeItem(TOKEN);
    throw new SignedOut();
  }
  throw new Refused(response.status, [said.field, said.detail ?? said.title ?? `HTTP ${response.status}`].filter(Boolean).join(": "));
}

/** What the sign-in service is called, where one is configured. */
export async function signInService(): Promise<string | null> {
  const { oidc } = await send<{ oidc: string | null }>("GET", "/console/sign-in", undefined);
  return oidc;
}

/** Goes to the sign-in service; it sends the browser back here. The page that the address names is kept for then. */
export async function goToSignIn(): Promise<void> {
  const { to } = await send<{ to: string }>("POST", "/console/oidc/begin", {});
  sessionStorage.setItem(PLACE, location.hash);
  location.assign(to);
}

/** Ends a sign-in that came back from the service, if this is one. Its words are out of the address at once. */
export async function comeBack(): Promise<boolean> {
  const said = new URLSearchParams(location.search);
  const state = said.get("state");
  if (state === null) return false;
  history.replaceState(null, "", location.pathname + (sessionStorage.getItem(PLACE) ?? ""));
  sessionStorage.removeItem(PLACE);
  const returned = Object.fromEntries(["code", "error", "iss"].flatMap((name) => (said.has(name) ? [[name, said.get(name)]] : [])));
  const { token } = await send<{ token: string }>("POST", "/console/oidc/finish", { state, ...returned });
  localStorage.setItem(TOKEN, token);
  return true;
}

/** Signs in with an API key. */
export async function signIn(key: string): Promise<void> {
  const { token } = await send<{ token: string }>("POST", "/console/sign-in", { key });
  localStorage.setItem(TOKEN, token);
}

export async function signOut(): Promise<void> {
  localStorage.removeItem(TOKEN);
  await send("POST", "/console/sign-out", {});
}

export const mayBeSignedIn = (): boolean => localStorage.getItem(TOKEN) !== null;

/**
 * The key that `watchbell up` gives its own pages: for the one in the fragment of the printed address, or as the demo page keeps it
 * in this tab. Null elsewhere.
 */
export async function keyOfUp(): Promise<string | null> {
  const fragment = new URLSearchParams(location.hash.slice(1)).get("key");
  if (fragment === null) return sessionStorage.getItem(DEMO_KEY);
  // Out of the address at once, so that it is in no history and no screenshot.
  history.replaceState(null, "", location.pathname);
  const { producer_key } = await send<{ producer_key: string }>("POST", "/demo/open", { key: fragment });
  sessionStorage.setItem(DEMO_KEY, producer_key);
  return producer_key;
}
