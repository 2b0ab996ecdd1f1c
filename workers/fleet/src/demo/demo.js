// The page of `watchbell up`: a small client of `watchbell.v1`, and views of the simulator and the timeline.
//
// What holds here:
// - One state object; a column is drawn from it by one function, and nothing else draws.
// - What came from elsewhere goes on screen through textContent only, and links only when they are http or https.
// - Nothing is shown before the server said it: a pressed button waits for its receipt, so all windows agree.
// - A frame that is not newer than what is shown of its alert changes nothing, so replays and two sockets do no harm.
"use strict";

const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** A session this old was healthy: the next trouble starts again at the first wait. */
const HEALTHY_AFTER_MS = 30_000;
const HELLO_WAIT_MS = 10_000;
const POLL_MS = 1_000;
const REQUEST_TIMEOUT_MS = 8_000;
const SHOWN_MAX = 60;
const ON_SCREEN_SHARE = 0.6;

const state = {
  demo: null, user: "", session: "",
  /** What the connection is doing: connecting, live, waiting {until} or closed {why}. One value, so nothing can disagree. */
  link: { kind: "connecting" },
  alerts: new Map(), // id → {alert, state, seq}
  seq: 0, unread: 0, filled: false, autoSeen: false,
  arrivals: [], selected: null, told: null,
  lastSent: null, sent: "",
  clockAheadMs: 0, // of the server's
};

const byId = (id) => document.getElementById(id);
const now = () => Date.now() + state.clockAheadMs;
const me = () => state.demo.users.find(({ user }) => user === state.user);

// ---- The session: one socket that is believed, and at times one that is about to replace it.

const net = { current: null, next: null, attempt: 0, timer: 0, windowMs: 0, heardAt: 0, heartbeatMs: 30_000 };

/** What to do after a close with `code`. The range decides, so that codes of later servers are understood. Pure. */
function afterClose(code, reason, attempt, windowMs, random) {
  const backOff = random * Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt);
  if (code < 4000 || (code >= 4100 && code < 4200)) return { kind: "retry", inMs: backOff };
  if (code >= 4200 && code < 4300) return { kind: "retry", inMs: windowMs ? random * windowMs : backOff };
  if (code >= 4300 && code < 4400) return { kind: "renew", inMs: backOff };
  return { kind: "stop", why: `The server ended the session: ${reason || "no reason given"} (${code}).` };
}

function connect() {
  clearTimeout(net.timer);
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/ws`);
  socket.begunAt = Date.now();
  net.next = socket;
  if (!net.current) setLink({ kind: "connecting" });
  const { user, token } = me();
  const cursor = sessionStorage.getItem(`cursor ${user}`) ?? undefined;
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token, cursor, visibility: document.visibilityState }));
  socket.onmessage = ({ data }) => {
    if (socket !== net.current && socket !== net.next) return;
    net.heardAt = Date.now();
    for (const line of data.split("\n")) if (line.trim()) obey(socket, JSON.parse(line));
  };
  socket.onclose = ({ code, reason }) => closed(socket, code, reason);
}

function closed(socket, code, reason) {
  if (socket !== net.current && socket !== net.next) return; // We let it go ourselves.
  if (socket === net.current) net.current = null;
  if (socket === net.next) net.next = null;
  if (Date.now() - socket.begunAt > HEALTHY_AFTER_MS) net.attempt = 0;
  const then = afterClose(code, reason, net.attempt, net.windowMs, Math.random());
  if (net.next && then.kind === "retry") return setLink({ kind: "connecting" }); // Its successor is on the way.
  if (then.kind === "stop") return disconnect(then.why);
  net.attempt += 1;
  net.windowMs = 0;
  if (!net.current) setLink({ kind: "waiting", until: Date.now() + then.inMs });
  net.timer = setTimeout(then.kind === "renew" ? renew : connect, then.inMs);
}

/** Closes for good, until somebody opens again. No `why`: the person closed it. */
function disconnect(why) {
  const sockets = [net.current, net.next];
  Object.assign(net, { current: null, next: null, attempt: 0, windowMs: 0 });
  clearTimeout(net.timer);
  for (const socket of sockets) socket?.close(1000);
  setLink({ kind: "closed", why });
}

/** Tokens are made anew when the server starts, so they are fetched again. */
async function renew() {
  const user = state.user;
  setLink({ kind: "connecting" });
  try {
    state.demo = await request("/demo.json");
    if (user === state.user && state.link.kind === "connecting") connect();
  } catch {
    if (user === state.user) closed((net.next = { begunAt: Date.now() }), 1006);
  }
}

/** Silence is judged here, once a second, rather than by a timer that a sleeping machine would fire late anyway. */
function listenForSilence() {
  const silent = net.current && Date.now() - net.heardAt > 2.5 * net.heartbeatMs;
  const stuck = net.next?.close && Date.now() - net.next.begunAt > HELLO_WAIT_MS;
  for (const socket of [silent && net.current, stuck && net.next]) {
    if (!socket) continue;
    closed(socket, 1006);
    socket.close();
  }
}

function obey(socket, frame) {
  switch (frame.type) {
    case "hello": return welcome(socket, frame);
    case "alert": return takeAlert(frame);
    case "receipt": return takeReceipt(frame);
    case "ping": return socket.send(JSON.stringify({ type: "pong", seq: frame.seq }));
    case "resync": return startOver(frame);
    case "goaway": return move(frame);
    case "error": console.warn("The server did not accept a frame:", frame.title);
  }
}

function welcome(socket, hello) {
  const before = net.current;
  Object.assign(net, { current: socket, next: null, windowMs: 0, heartbeatMs: hello.heartbeat_ms });
  if (before && before !== socket) before.close(1000); // Made before broken: nothing was missed in between.
  state.session = hello.session;
  state.clockAheadMs = Date.parse(hello.server_time) - Date.now();
  state.unread = hello.unread;
  if (!hello.resumed) startOver(hello);
  else if (!state.filled) fill();
  setLink({ kind: "live" });
}

/** Connects anew somewhere in the announced window and keeps reading until then. */
function move({ after_ms, within_ms }) {
  net.windowMs = within_ms;
  clearTimeout(net.timer);
  net.timer = setTimeout(connect, after_ms + Math.random() * within_ms);
}

/** What is known may be of another history: drop it and take the inbox as it is. */
function startOver({ seq, cursor, unread }) {
  state.alerts.clear();
  Object.assign(state, { seq, unread, filled: false });
  sessionStorage.setItem(`cursor ${state.user}`, cursor);
  fill();
}

async function fill() {
  const { user, token } = me();
  try {
    const inbox = await request(`/v1/inbox?limit=${SHOWN_MAX}`, { headers: { authorization: `Bearer ${token}` } });
    if (user !== state.user) return;
    for (const row of inbox.alerts) upsert(row);
    state.filled = true;
    state.selected ??= newestFirst()[0]?.alert.id ?? null;
    changed();
  } catch {
    if (user === state.user && state.link.kind === "live") setTimeout(fill, RETRY_FIRST_MS);
  }
}

/** Remembers from where to go on. Two sockets may overlap for a moment, so it never goes back. */
function advance({ seq, cursor, unread }) {
  if (seq < state.seq) return;
  Object.assign(state, { seq, unread });
  sessionStorage.setItem(`cursor ${state.user}`, cursor);
}

function upsert({ alert, state: said, seq }) {
  const known = state.alerts.get(alert.id);
  if (known && seq <= known.seq) return false;
  state.alerts.set(alert.id, { alert, state: said, seq });
  return !known;
}

function takeAlert(frame) {
  advance(frame);
  if (upsert(frame)) {
    select(frame.alert.id);
    byId("announce").textContent = `New ${frame.alert.severity} alert: ${frame.alert.title}`;
  }
  if (frame.state === "new") say([frame.alert.id], "delivered");
  changed();
}

function takeReceipt(frame) {
  advance(frame);
  for (const id of frame.alerts) {
    const known = state.alerts.get(id);
    if (!known || frame.seq <= known.seq) continue;
    const said = frame.state === "unread" ? "seen" : frame.state; // What was seen cannot be unseen.
    state.alerts.set(id, { ...known, state: said, seq: frame.seq });
  }
  changed();
}

function say(alerts, receipt) {
  if (net.current?.readyState !== WebSocket.OPEN || alerts.length === 0) return;
  net.current.send(JSON.stringify({ type: "receipt", alerts, state: receipt }));
}

// ---- Really on screen: in view, in a visible page, for a full second.

const inView = new Map(); // id → since when
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.set(target.dataset.key, Date.now());
    else inView.delete(target.dataset.key);
  }
}, { threshold: ON_SCREEN_SHARE });

function sayWhatIsSeen() {
  if (!state.autoSeen || state.link.kind !== "live" || document.visibilityState !== "visible") return;
  const seen = [...inView].filter(([id, since]) => Date.now() - since >= 1_000 && state.alerts.get(id)?.state === "new");
  say(seen.map(([id]) => id), "seen");
}

// ---- Requests: the simulator, the timeline, the producer's form.

async function request(path, options) {
  const response = await fetch(path, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS), ...options });
  const text = await response.text();
  const body = text && /json/.test(response.headers.get("content-type")) ? JSON.parse(text) : {};
  if (!response.ok) throw new Error([body.field, body.detail || body.title || `HTTP ${response.status}`].filter(Boolean).join(": "));
  return body;
}

const asProducer = (method, path, body) =>
  request(path, {
    method,
    headers: { authorization: `Bearer ${state.demo.producer_key}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });

async function lookAround() {
  const { user, selected } = state;
  const about = selected && `/v1/alerts/${encodeURIComponent(selected)}/timeline?user=${encodeURIComponent(user)}`;
  const [arrivals, told] = await Promise.allSettled([
    request(`/simulator/arrivals?user=${encodeURIComponent(user)}&limit=${SHOWN_MAX}`),
    about ? asProducer("GET", about) : { recipients: [] },
  ]);
  if (user !== state.user) return;
  if (arrivals.status === "fulfilled") state.arrivals = arrivals.value;
  if (told.status === "fulfilled" && selected === state.selected) state.told = told.value.recipients[0] ?? null;
}

/** Once a second while somebody looks; the next round begins when this one has answered. */
async function everySecond() {
  if (document.visibilityState === "visible") await lookAround();
  listenForSilence();
  sayWhatIsSeen();
  changed();
  setTimeout(everySecond, POLL_MS);
}

async function tell(work) {
  try {
    state.sent = await work();
  } catch (error) {
    state.sent = `Not accepted. ${error.message}`;
  }
  changed();
}

function audience(to) {
  if (to === "everyone") return { everyone: true };
  return { users: to === "both" ? state.demo.users.map(({ user }) => user) : [to] };
}

async function send() {
  const alert = { to: audience(byId("to").value), source: "demo page" };
  for (const field of ["severity", "title", "body", "url"]) {
    if (byId(field).value.trim()) alert[field] = byId(field).value.trim();
  }
  const { id } = await asProducer("POST", "/v1/alerts", alert);
  state.lastSent = { id, title: alert.title };
  return "Accepted: it will reach them.";
}

async function resolve() {
  const { id, title } = state.lastSent;
  const { version } = await asProducer("PATCH", `/v1/alerts/${encodeURIComponent(id)}`, { status: "resolved" });
  state.lastSent = null;
  return `“${title}” is resolved (version ${version}).`;
}

// ---- What a person does.

function setLink(link) {
  state.link = link;
  changed();
}

function select(id) {
  Object.assign(state, { selected: id, told: null });
  changed();
}

function become(user) {
  disconnect();
  Object.assign(state, { user, seq: 0, unread: 0, filled: false, arrivals: [], selected: null, told: null });
  state.alerts.clear();
  const address = new URL(location.href);
  address.searchParams.set("user", user);
  history.replaceState(null, "", address);
  byId("to").value = user;
  byId("second").href = address;
  connect();
}

function listen() {
  byId("send").addEventListener("submit", (event) => { event.preventDefault(); tell(send); });
  byId("users").addEventListener("click", ({ target }) => target.matches("button") && become(target.textContent));
  byId("alerts").addEventListener("click", ({ target }) => {
    const id = target.closest("li")?.dataset.key;
    if (target.dataset.say) say([id], target.dataset.say);
    else if (target.matches(".title")) select(id);
  });
  byId("resolve").addEventListener("click", () => tell(resolve));
  byId("toggle").addEventListener("click", () => (state.link.kind === "closed" ? renew() : disconnect()));
  byId("auto-seen").addEventListener("change", ({ target }) => { state.autoSeen = target.checked; });
  byId("clear").addEventListener("click", () => tell(async () => {
    await request("/simulator/arrivals", { method: "DELETE" });
    state.arrivals = [];
    return "Phone and mailbox are empty.";
  }));
  for (const [target, event] of [[window, "online"], [document, "visibilitychange"]]) {
    target.addEventListener(event, () => {
      if (state.link.kind === "waiting" && document.visibilityState === "visible") connect();
    });
  }
}

async function begin() {
  try {
    state.demo = await request("/demo.json");
  } catch (error) {
    setLink({ kind: "closed", why: `The server does not answer: ${error.message}` });
    setTimeout(begin, 2_000);
    return;
  }
  const asked = new URLSearchParams(location.search).get("user");
  const { user } = state.demo.users.find(({ user }) => user === asked) ?? state.demo.users[0];
  byId("users").replaceChildren(...state.demo.users.map(({ user }) => build(["button", "", user, { type: "button" }])));
  listen();
  become(user);
  everySecond();
}

// ---- Drawing: each column from the state alone.

/** `[tag, className, text or parts, attributes]` as a node. */
function build([tag, className, content = "", attributes = {}]) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (Array.isArray(content)) made.append(...content.map(build));
  else made.textContent = content;
  return made;
}

/** Makes a list show these cards in this order. Items are kept by key, and with them focus, scrolling and what is in view. */
function draw(list, cards, empty) {
  const had = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const keys = new Set(cards.map(({ key }) => key));
  for (const [key, item] of had) if (!keys.has(key)) item.remove();
  cards.forEach(({ key, look, parts }, at) => {
    const item = had.get(key) ?? build(["li", "", "", { "data-key": key }]);
    const shown = JSON.stringify(parts);
    item.className = look;
    if (item.shown !== shown) {
      const focused = item.contains(document.activeElement);
      item.replaceChildren(...parts.map(build));
      item.shown = shown;
      if (focused) item.querySelector("button")?.focus();
    }
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  list.dataset.empty = empty;
}

const put = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const isWeb = (url) => /^https?:\/\//.test(url ?? "") && URL.canParse(url);

let isDirty = false;
function changed() {
  if (isDirty || !state.demo) return;
  isDirty = true;
  queueMicrotask(() => {
    isDirty = false;
    for (const column of [drawFrame, drawLink, drawScreen, drawArrivals, drawTimeline]) column();
  });
}

function drawFrame() {
  for (const name of document.querySelectorAll(".name")) name.textContent = state.user;
  for (const one of byId("users").children) one.setAttribute("aria-pressed", one.textContent === state.user);
  put("address", me().email);
  byId("resolve").disabled = !state.lastSent;
  put("sent", state.sent);
  document.title = `${state.unread ? `(${state.unread}) ` : ""}Watchbell · ${state.user}`;
}

function drawLink() {
  const { kind, until, why } = state.link;
  const left = Math.max(1, Math.ceil((until - Date.now()) / 1_000));
  const texts = { live: "live", connecting: "connecting", waiting: `reconnecting in ${left} s`, closed: "offline" };
  byId("link").dataset.kind = kind;
  put("link-text", texts[kind]);
  put("toggle", kind === "closed" ? "Open again" : "Close this screen");
  byId("cover").hidden = kind !== "closed";
  put("cover-text", why ?? "This screen is closed. What is sent now goes to the phone.");
}

const newestFirst = () =>
  [...state.alerts.values()].sort((a, b) => b.alert.occurred_at.localeCompare(a.alert.occurred_at)).slice(0, SHOWN_MAX);

function alertCard({ alert, state: said }) {
  const can = (states) => (state.link.kind === "live" && states.includes(said) ? {} : { disabled: "" });
  const button = (receipt, label, states) => ["button", "", label, { type: "button", "data-say": receipt, ...can(states) }];
  const isSelected = alert.id === state.selected;
  const parts = [
    ["div", "line", [["button", "title", alert.title, { type: "button", "aria-pressed": isSelected, title: "Show what happened" }], ["span", "chip", said]]],
    ["p", "text", alert.body ?? ""],
    ["p", "more", [
      ["span", "", `${alert.severity} · ${clock(alert.occurred_at)}`],
      ...(alert.status === "firing" ? [] : [["span", "status", alert.status]]),
      ...(isWeb(alert.url) ? [["a", "", new URL(alert.url).host, { href: alert.url, target: "_blank", rel: "noopener noreferrer" }]] : []),
    ]],
    ["div", "buttons", [button("seen", "Seen", ["new"]), button("read", "Read", ["new", "seen"]), button("dismissed", "Dismiss", ["new", "seen", "read"])]],
  ];
  return { key: alert.id, look: `card alert ${alert.severity} ${said} ${alert.status}${isSelected ? " selected" : ""}`, parts };
}

function drawScreen() {
  put("unread", String(state.unread));
  byId("unread").hidden = state.unread === 0;
  byId("unread").setAttribute("aria-label", `${state.unread} unread`);
  draw(byId("alerts"), newestFirst().map(alertCard), state.filled ? "Nothing yet. Send an alert." : "");
  for (const item of byId("alerts").children) watcher.observe(item); // Once more is no more than once.
}

/** The newest of each name: a copy takes the place of the one before it. */
function arrivalsOf(isWanted) {
  const shown = new Map();
  for (const one of state.arrivals.filter(isWanted)) {
    const { collapse_id, tag, message_id, apns_id } = one.ids;
    shown.set(`${one.kind} ${collapse_id ?? tag ?? message_id ?? apns_id ?? one.alert}`, one);
  }
  return [...shown].sort(([, a], [, b]) => b.last_at.localeCompare(a.last_at));
}

function drawArrivals() {
  const card = (look) => ([key, { title, body, at, withdrawn }]) => {
    const line = ["div", "line", [["span", "from", "Watchbell"], ["span", "more", withdrawn ? "withdrawn" : clock(at)]]];
    return { key, look: `card ${look}${withdrawn ? " withdrawn" : ""}`, parts: [line, ["strong", "", title], ["p", "text", body]] };
  };
  draw(byId("pushes"), arrivalsOf(({ kind }) => kind !== "email").map(card("push")), "No notifications");
  draw(byId("mails"), arrivalsOf(({ kind }) => kind === "email").map(card("letter")), "No mail");
  put("clock", new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  put("date", new Date().toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" }));
}

/** What comes next, from what has happened. Every step leaves a note when it is done. */
function whatIsNext({ stopped, due_at, entries }) {
  const has = (start) => entries.some(({ what }) => what.startsWith(start));
  if (stopped) return `Over: ${stopped}`;
  if (has("email step")) return "Every channel was used";
  const channel = has("push step") ? "email" : "push";
  if (has(`${channel} alert`)) return `${channel} under way`;
  const left = Math.ceil((Date.parse(due_at) - now()) / 1_000);
  return left > 0 ? `${channel} in ${left} s unless seen` : `${channel} now`;
}

function entryCard({ at, what }, index, entries) {
  const after = (Date.parse(at) - Date.parse(entries[0].at)) / 1_000;
  const kind = /^(push|email|seen|read|dismissed|escalation)/.exec(what)?.[0] ?? "other";
  const text = what
    .replace(/: attempt [0-9a-f-]{36} begun$/, ": begun")
    .replace(/last by ([0-9a-f]{32})/, (_, session) => (session === state.session ? "by this window" : "by another window"));
  return { key: `${at} ${what}`, look: `entry did-${kind}`, parts: [["span", "more", `+${after.toFixed(1)} s`], ["span", "what", text, { title: what }]] };
}

function drawTimeline() {
  const told = state.told;
  put("told-alert", state.alerts.get(state.selected)?.alert.title ?? "");
  put("next", told ? whatIsNext(told) : "");
  byId("next").classList.toggle("over", Boolean(told?.stopped));
  draw(byId("timeline"), (told?.entries ?? []).map(entryCard), "Every step of an alert, with its time and its reason.");
}

begin();
