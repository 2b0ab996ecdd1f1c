/**
 * The operators' console. One page at `/console`: whoever signs in with an API key of the operators' tenant, or with an account of the sign-in service, sees what happens now,
 * finds alerts and people, and acts. The pages are in files beside this one; the address names the page (`#person/ana`).
 */
import "./console.css";
import { alert } from "./alert.ts";
import { ask, comeBack, goToSignIn, keyOfUp, lookAt, mayBeSignedIn, Refused, SignedOut, signIn, signInService, signOut } from "./api.ts";
import { tell } from "./acts.ts";
import { audit } from "./audit.ts";
import { dead } from "./dead.ts";
import { byId, el } from "./dom.ts";
import { find } from "./find.ts";
import { keys } from "./keys.ts";
import { now, type ProcessName } from "./now.ts";
import { person } from "./person.ts";
import { policies } from "./policies.ts";
import { routes } from "./routes.ts";
import type { View } from "./view.ts";

interface Session { name: string; actor: string; everywhere: boolean; scopes: string[]; operators: string; tenant: string; process: ProcessName }

/** By their name in the address; the menu has those of `MENU`. */
const VIEWS: Record<string, View> = { now, find, alert, person, dead, keys, policies, routes, audit };
const MENU = ["now", "find", "dead", "policies", "routes", "keys", "audit"];

/** Pages of the whole installation, which not everybody may look at. */
const OF_INSTALLATION = ["now", "dead", "routes", "keys"];

/** Pages that are reached from another one of the menu. */
const MENU_OF: Record<string, string> = { alert: "find", person: "find" };

let session: Session | null = null;
/** Counts drawings, so that a slow one does not cover a later one. */
let round = 0;
let next: ReturnType<typeof setTimeout> | undefined;

/** What somebody typed into the address may be no percent encoding; then it is taken as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const menu = (): string[] => MENU.filter((name) => session?.everywhere || !OF_INSTALLATION.includes(name));

const place = (): [name: string, rest: string] => {
  const [name = "", rest = ""] = location.hash.slice(1).split("/", 2);
  return [Object.hasOwn(VIEWS, name) ? name : menu()[0] ?? "find", decoded(rest)];
};

/** Draws the page that the address names. `isNew`: another one than before, so focus goes to its heading. */
async function draw(isNew: boolean): Promise<void> {
  clearTimeout(next);
  const mine = ++round;
  const [name, rest] = place();
  const view = VIEWS[name];
  if (!session || !view) return;
  if (isNew) tell("");
  let shown: HTMLElement;
  try {
    shown = await view.draw(rest);
  } catch (error) {
    if (error instanceof SignedOut) return showSignIn("Your session is over: sign in again.");
    const why = error instanceof Refused ? error.message : `The server does not answer. ${String(error)}`;
    shown = el("section", { class: "panel" }, el("h2", {}, "This cannot be shown"), el("p", { class: "bad" }, why), el("button", { type: "button", click: () => void draw(false) }, "Try again"));
  }
  if (mine !== round) return;
  document.title = `${view.title} · Watchbell console`;
  byId("title").textContent = view.title;
  for (const link of byId("menu").querySelectorAll("a")) link.setAttribute("aria-current", link.hash === `#${MENU_OF[name] ?? name}` ? "page" : "false");
  byId("view").replaceChildren(shown);
  if (isNew) byId("title").focus({ preventScroll: true });
  if (view.everyMs) next = setTimeout(() => void (document.visibilityState === "visible" ? draw(false) : later(view)), view.everyMs);
}

/** A page that nobody looks at asks nothing. */
function later(view: View): void {
  next = setTimeout(() => void draw(false), view.everyMs);
}

function showSignIn(why: string): void {
  session = null;
  clearTimeout(next);
  byId("inside").hidden = true;
  byId("who").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-note").textContent = why;
  document.title = "Sign in · Watchbell console";
  byId("key").focus();
}

async function enter(): Promise<void> {
  session = await ask<Session>("GET", "/session");
  const { name, actor, operators, tenant, scopes } = session;
  byId("sign-in").hidden = true;
  byId("inside").hidden = false;
  byId("who").hidden = false;
  byId("name").textContent = name || actor.slice(0, 16);
  byId("name").title = `${actor}: ${scopes.join(", ")}`;
  const chosen = byId<HTMLInputElement>("tenant");
  chosen.value = tenant;
  chosen.placeholder = operators;
  byId("menu").replaceChildren(...menu().map((name) => el("a", { href: `#${name}` }, VIEWS[name]?.title ?? "")));
  await draw(true);
}

/** Signs in, and says why not. */
async function tryToEnter(key: string): Promise<void> {
  byId("sign-in-note").textContent = "";
  try {
    await signIn(key);
    byId<HTMLInputElement>("key").value = "";
    await enter();
  } catch (error) {
    showWhy(error);
  }
}

function showWhy(error: unknown): void {
  byId("sign-in-note").textContent = error instanceof Refused ? error.message : `The server does not answer. ${String(error)}`;
}

/** The button is there where a sign-in service is. */
async function offerAccount(): Promise<void> {
  const name = await signInService().catch(() => null);
  if (name === null) return;
  byId("by-account-button").textContent = `Sign in with ${name}`;
  byId("by-account").hidden = false;
}

async function begin(): Promise<void> {
  byId("sign-in-form").addEventListener("submit", (event) => { event.preventDefault(); void tryToEnter(byId<HTMLInputElement>("key").value.trim()); });
  byId("by-account-button").addEventListener("click", () => {
    byId("sign-in-note").textContent = "";
    goToSignIn().catch(showWhy);
  });
  byId("sign-out").addEventListener("click", () => void signOut().finally(() => showSignIn("You signed out.")));
  byId("tenant-form").addEventListener("submit", (event) => { event.preventDefault(); byId("tenant").blur(); });
  byId<HTMLInputElement>("tenant").addEventListener("change", ({ target }) => {
    lookAt((target as HTMLInputElement).value.trim());
    void draw(false);
  });
  window.addEventListener("hashchange", (event) => void draw(event instanceof HashChangeEvent));
  void offerAccount();
  try {
    if (await comeBack()) return await enter();
    const key = await keyOfUp();
    if (mayBeSignedIn()) return await enter().catch((error: unknown) => (key ? tryToEnter(key) : showSignIn(error instanceof SignedOut ? "" : String(error))));
    showSignIn("");
    if (key) await tryToEnter(key);
  } catch (error) {
    showSignIn("");
    showWhy(error);
  }
}

void begin();
