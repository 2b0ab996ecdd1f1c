/**
 * The page of `watchbell up`: people, and one person's screen, phone and mailbox; a form that sends an alert, its
 * timeline as it happens, or, while none is selected, what the person got and did not get; and three topics. The screen is `<watchbell-inbox>`; phone and mailbox are read from the simulator.
 */
import "./demo.css";
import "@watchbell/inbox";
import type { Watchbell } from "@watchbell/client";
import { openDemo, takeKey } from "./access.ts";
import { handOver, isPushOn, pushHere } from "./browser-push.ts";
import { type Card, type Part, byId, clock, draw, put } from "./draw.ts";
import { openMail } from "./mail.ts";
import { type Demo, type Person, renew, request, sessionOf } from "./people.ts";
import { fail, keepPublishing, mend } from "./publish.ts";
import { type Told, entryCards, whatIsNext } from "./timeline.ts";
import { type Explanation, addressOf, whyCards } from "./why.ts";
import { drawWidgets, follow } from "./widgets.ts";

const LOOK_EVERY_MS = 500;
const SHOWN_MAX = 60;
/** Rounds of looking after which it is asked again what the person got: it is made of many rows. */
const WHY_EVERY_ROUNDS = 4;

interface Arrival {
  kind: string;
  user: string | null;
  title: string;
  body: string;
  last_at: string;
  withdrawn: boolean;
  ids: Record<string, string | undefined>;
  headers?: Record<string, string>;
  mail?: { address: string };
}
/** Before another session takes the place of one that was ended. */
const SIGN_IN_AGAIN_MS = 1_000;

const state = {
  demo: null as Demo | null,
  sessions: new Map<string, Watchbell>(),
  user: "",
  isClosed: false,
  selected: null as string | null,
  /** Whether a person chose what is selected; else it is the newest alert. */
  isChosen: false,
  told: null as Told | null,
  why: null as Explanation | null,
  round: 0,
  arrivals: [] as Arrival[],
  lastSent: null as { id: string; title: string } | null,
  sent: "",
  topicNote: "",
};

const person = (): Person | undefined => state.demo?.users.find(({ user }) => user === state.user);
const session = (): Watchbell | undefined => state.sessions.get(state.user);
const inbox = byId<HTMLElementTagNameMap["watchbell-inbox"]>("inbox");
let stopTopics = () => {};

async function begin(key = takeKey()): Promise<void> {
  const opened = await openDemo(key).catch(() => undefined);
  if (opened === undefined) {
    put("carried", "the server does not answer");
    setTimeout(() => void begin(key), 1_000);
    return;
  }
  state.demo = opened;
  for (const id of ["closed", "demo"]) byId(id).hidden = (id === "demo") === (opened === null);
  if (!opened) return;
  for (const one of opened.users) join(one).start();
  listen();
  const asked = new URLSearchParams(location.search).get("user") ?? "";
  become(state.sessions.has(asked) ? asked : (opened.users[0]?.user ?? ""));
  void keepLooking();
}

function join(one: Person): Watchbell {
  const made = sessionOf(one);
  state.sessions.set(one.user, made);
  made.subscribe(() => {
    if (made.snapshot.ended && !over.has(made)) {
      over.add(made);
      setTimeout(() => void goOn(one, made), SIGN_IN_AGAIN_MS);
    }
    changed();
  });
  return made;
}
/** Sessions that ended for good. */
const over = new WeakSet<Watchbell>();

/** After somebody ended all sessions of a person, their token is good for nothing: the demo goes on with another session. */
async function goOn(one: Person, ended: Watchbell): Promise<void> {
  ended.stop();
  await renew(one).catch(console.warn);
  const made = join(one);
  const isLookedAt = one.user === state.user;
  if (isLookedAt) lookAt(made);
  if (!isLookedAt || !state.isClosed) made.start();
  changed();
}

function lookAt(made: Watchbell | null): void {
  stopTopics();
  inbox.client = made;
  stopTopics = made ? follow(made, changed) : () => {};
}

function become(user: string): void {
  Object.assign(state, { user, arrivals: [], selected: null, isChosen: false, told: null, why: null, round: 0 });
  history.replaceState(null, "", `?user=${encodeURIComponent(user)}`);
  byId<HTMLSelectElement>("to").value = user;
  byId<HTMLAnchorElement>("second").href = location.search;
  lookAt(session() ?? null);
  open(true);
  byId<HTMLInputElement>("push").checked = isPushOn(user);
  if (isPushOn(user)) void push(true); // Again: this server may be a new one.
}

function open(isOpen: boolean): void {
  state.isClosed = !isOpen;
  if (isOpen) session()?.start();
  else session()?.stop();
  changed();
}

function select(id: string | null, isChosen = true): void {
  Object.assign(state, { selected: id, isChosen, told: null, round: 0 });
  changed();
}

// ---- The producer's side, and the simulator.

function asProducer<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers = { authorization: `Bearer ${state.demo?.producer_key}`, "content-type": "application/json" };
  return request<T>(path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
}

async function send(): Promise<string> {
  const field = (id: string) => byId<HTMLInputElement>(id).value.trim();
  const everybody = state.demo?.users.map(({ user }) => user) ?? [];
  const users: string[] = { both: everybody, everyone: [] }[field("to")] ?? [field("to")];
  const words = ["severity", "title", "body", "url"].map((id) => [id, field(id)]).filter(([, text]) => text);
  const alert = { to: users.length ? { users } : { everyone: true }, source: "demo page", ...Object.fromEntries(words) };
  const { id } = await asProducer<{ id: string }>("POST", "/v1/alerts", alert);
  state.lastSent = { id, title: field("title") };
  // It is the newest in a moment; until then nothing else is.
  if (users.length === 0 || users.includes(state.user)) select(id, false);
  return "Accepted: it will reach them.";
}

async function resolve(): Promise<string> {
  const last = state.lastSent;
  if (!last) return "";
  const { version } = await asProducer<{ version: number }>("PATCH", `/v1/alerts/${encodeURIComponent(last.id)}`, { status: "resolved" });
  state.lastSent = null;
  return `“${last.title}” is resolved (version ${version}).`;
}

/** Events of the widgets. What goes wrong is said where they are. */
async function publish(work: (post: (path: string, body: unknown) => Promise<unknown>) => Promise<void>): Promise<void> {
  state.topicNote = "";
  await work((path, body) => asProducer("POST", path, body)).catch((error: unknown) => {
    state.topicNote = `Not accepted. ${(error as Error).message}`;
    byId<HTMLInputElement>("figures").checked = false;
  });
  changed();
}

async function push(on: boolean): Promise<void> {
  const [made, user] = [session(), state.user];
  put("push-note", "");
  await (made && pushHere(made, user, on))?.catch((error: unknown) => put("push-note", `Not possible: ${(error as Error).message}`));
  byId<HTMLInputElement>("push").checked = isPushOn(state.user);
}

async function tell(work: () => Promise<string>): Promise<void> {
  state.sent = await work().catch((error: unknown) => `Not accepted. ${(error as Error).message}`);
  changed();
}

async function lookAround(): Promise<void> {
  const { user, selected } = state;
  const timeline = selected && asProducer<{ recipients: Told[] }>("GET", `/v1/alerts/${encodeURIComponent(selected)}/timeline?user=${user}`);
  const why = !selected && state.round++ % WHY_EVERY_ROUNDS === 0 && asProducer<Explanation>("GET", addressOf(user, Date.now()));
  const [arrived, happened, explained] = await Promise.allSettled([request<Arrival[]>(`/simulator/arrivals?user=${user}&limit=${SHOWN_MAX}`), timeline, why]);
  if (session()?.snapshot.leads && isPushOn(user)) await handOver(user).catch(console.warn);
  if (user !== state.user) return;
  if (arrived.status === "fulfilled") state.arrivals = arrived.value;
  if (selected === state.selected && happened.status === "fulfilled" && happened.value) state.told = happened.value.recipients[0] ?? state.told;
  if (explained.status === "fulfilled" && explained.value) state.why = explained.value;
}

/** Again and again while somebody looks, or pushes are wanted; each round begins when the one before it has been answered. */
async function keepLooking(): Promise<void> {
  if (document.visibilityState === "visible" || isPushOn(state.user)) await lookAround();
  changed();
  setTimeout(() => void keepLooking(), session()?.snapshot.status === "live" ? LOOK_EVERY_MS : 4 * LOOK_EVERY_MS);
}

// ---- What a person does.

function listen(): void {
  byId("send").addEventListener("submit", (event) => { event.preventDefault(); void tell(send); });
  byId("users").addEventListener("click", ({ target }) => {
    const user = (target as Element).closest("button")?.dataset["user"];
    if (user) become(user);
  });
  inbox.addEventListener("watchbell-open", (event) => {
    event.preventDefault(); // The page shows its timeline in place of its address.
    select((event as CustomEvent<{ id: string }>).detail.id);
  });
  byId("all").addEventListener("click", () => select(null));
  byId("why").addEventListener("click", ({ target }) => {
    const id = (target as Element).closest("button")?.dataset["alert"];
    if (id) select(id);
  });
  byId("resolve").addEventListener("click", () => void tell(resolve));
  byId("fail").addEventListener("click", () => void publish(fail));
  byId("mend").addEventListener("click", () => void publish(mend));
  const figures = byId<HTMLInputElement>("figures");
  figures.addEventListener("change", () => void publish((post) => keepPublishing(post, () => figures.checked)));
  byId("push").addEventListener("change", ({ target }) => void push((target as HTMLInputElement).checked));
  byId("toggle").addEventListener("click", () => open(state.isClosed));
  byId("auto-seen").addEventListener("change", ({ target }) => inbox.toggleAttribute("manual-seen", !(target as HTMLInputElement).checked));
  byId("mails").addEventListener("click", ({ target }) => {
    const key = (target as Element).closest("button")?.dataset["mail"];
    const mail = arrivalsOf(({ kind }) => kind === "email").find(([one]) => one === key)?.[1];
    if (mail) openMail(mail);
  });
  byId("clear").addEventListener("click", () => request("/simulator/arrivals", { method: "DELETE" }).catch(console.warn));
}

// ---- Drawing: each panel from the state alone, once for all that changes in one go.

let drawing: Promise<void> | null = null;
function changed(): void {
  drawing ??= Promise.resolve().then(() => {
    drawing = null;
    selectNewest();
    for (const panel of [drawPeople, drawScreen, drawArrivals, drawTimeline, drawWidgets]) panel();
    put("topic-note", state.topicNote);
  });
}

/** The newest alert is selected, unless a person chose another one, or the one that was just sent is still on its way. */
function selectNewest(): void {
  const { alerts = [] } = session()?.snapshot ?? {};
  const [newest] = alerts;
  const isOnItsWay = state.selected === state.lastSent?.id && !alerts.some(({ alert }) => alert.id === state.selected);
  if (newest && !state.isChosen && !isOnItsWay && newest.alert.id !== state.selected) select(newest.alert.id, false);
}

function drawPeople(): void {
  const cards = (state.demo?.users ?? []).map(({ user, email }): Card => {
    const unread = state.sessions.get(user)?.snapshot.unread ?? 0;
    const badge: Card["parts"] = unread ? [["span", "badge", String(unread), { "aria-label": `${unread} unread` }]] : [];
    return { key: user, look: "", parts: [["button", "", [["span", "face", user.slice(0, 1), { "aria-hidden": "true" }], ["b", "", user], ["small", "", email], ...badge], { type: "button", "data-user": user, "aria-pressed": String(user === state.user) }]] };
  });
  draw("users", cards, "");
  for (const name of document.querySelectorAll(".name")) name.textContent = state.user;
  put("address", person()?.email ?? "");
  put("sent", state.sent);
  byId<HTMLButtonElement>("resolve").disabled = !state.lastSent;
  const unread = session()?.snapshot.unread ?? 0;
  document.title = `${unread ? `(${unread}) ` : ""}Watchbell · ${state.user}`;
}

const CARRIED = { ws: "over WebSocket", sse: "over SSE", poll: "by poll" };
function drawScreen(): void {
  const now = session()?.snapshot;
  const transport = now?.transport;
  put("carried", transport ? `${CARRIED[transport]}${now.leads ? "" : ", held by another window"}` : "");
  put("toggle", state.isClosed ? "Open again" : "Close this screen");
  byId("cover").hidden = !state.isClosed;
}

/** The newest of each name: a copy takes the place of the one before it. */
function arrivalsOf(isWanted: (one: Arrival) => boolean): [string, Arrival][] {
  const shown = new Map<string, Arrival>();
  for (const one of state.arrivals.filter(isWanted)) {
    shown.set(`${one.kind} ${one.ids["collapse_id"] ?? one.ids["tag"] ?? one.ids["message_id"] ?? one.ids["apns_id"]}`, one);
  }
  return [...shown].sort(([, a], [, b]) => b.last_at.localeCompare(a.last_at));
}

function drawArrivals(): void {
  const card = (look: string, opens: (key: string, title: string) => Part) => ([key, { title, body, last_at, withdrawn }]: [string, Arrival]): Card => ({
    key, look: `card ${look}${withdrawn ? " withdrawn" : ""}`,
    parts: [["div", "line", [["span", "from", "Watchbell"], ["span", "more", withdrawn ? "withdrawn" : clock(last_at)]]], opens(key, title), ["p", "text", body]],
  });
  // What browsers were sent, they show themselves.
  draw("pushes", arrivalsOf(({ kind }) => kind === "apns" || kind === "fcm").map(card("push", (_, title) => ["strong", "", title])), "No notifications");
  draw("mails", arrivalsOf(({ kind }) => kind === "email").map(card("letter", (key, title) => ["button", "plain", title, { type: "button", "data-mail": key }])), "No mail");
  put("clock", new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
  put("date", new Date().toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" }));
}

function drawTimeline(): void {
  const { told, selected, lastSent } = state;
  const row = session()?.snapshot.alerts.find(({ alert }) => alert.id === selected);
  put("told-alert", row?.alert.title ?? (selected && selected === lastSent?.id ? lastSent.title : ""));
  put("next", told ? whatIsNext(told, Date.now(), row?.alert.expires_at) : "");
  byId("next").classList.toggle("over", Boolean(told?.stopped));
  const list = byId("timeline");
  list.hidden = !selected;
  byId("all").hidden = !selected;
  byId("why").hidden = Boolean(selected);
  draw("why", state.why ? whyCards(state.why) : [], "What they got and did not get in the last hour, and why.");
  const box = list.parentElement as HTMLElement;
  const [had, isAtEnd] = [list.children.length, box.scrollTop + box.clientHeight >= box.scrollHeight - 1];
  draw("timeline", entryCards(told?.entries ?? []), "Every step of an alert, with its time and its reason.");
  if (list.children.length > had && isAtEnd) box.scrollTop = box.scrollHeight;
}

// A new address that is typed over the old one loads nothing anew.
window.addEventListener("hashchange", () => {
  const key = takeKey();
  if (key !== null && !state.demo) void begin(key);
});
void begin();
