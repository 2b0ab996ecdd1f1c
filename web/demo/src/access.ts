/**
 * How this page comes by the demo's secrets. `watchbell up` prints an address with a key in its fragment, which no browser
 * sends by itself. This page sends it once, keeps the producer key that it is given for this tab, and shows it with each
 * request. A reload of the tab goes on; a page without either says where the address is.
 */
import { type Demo, NotLetIn, PRODUCER_KEY, request } from "./people.ts";

/** The key in the fragment. It is taken out of the address at once, so that it is in no history and no screenshot. */
export function takeKey(): string | null {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key !== null) history.replaceState(null, "", location.pathname + location.search);
  return key;
}

/** The demo, for whoever may see it; null for whoever has to open the printed address. Fails when nobody answers. */
export async function openDemo(key: string | null): Promise<Demo | null> {
  return (key && (await exchange(key))) || (await again());
}

async function exchange(key: string): Promise<Demo | null> {
  const demo = await ifLetIn(request<Demo>("/demo/open", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) }));
  if (demo) sessionStorage.setItem(PRODUCER_KEY, demo.producer_key);
  return demo;
}

async function again(): Promise<Demo | null> {
  if (sessionStorage.getItem(PRODUCER_KEY) === null) return null;
  const demo = await ifLetIn(request<Demo>("/demo.json"));
  if (!demo) sessionStorage.removeItem(PRODUCER_KEY);
  return demo;
}

const ifLetIn = (answer: Promise<Demo>): Promise<Demo | null> =>
  answer.catch((error: unknown) => { if (error instanceof NotLetIn) return null; throw error; });
