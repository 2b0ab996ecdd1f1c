// The page of `watchbell up`: a small client of `watchbell.v1`, and views of the simulator and the timeline.
//
// What holds here:
// - One state object; a column is drawn from it by one function, and nothing else draws.
// - What came from elsewhere goes on screen through textContent only, and links only when they are http or https.
// - Nothing is shown before the server said it: a pressed button waits for its receipt, so all windows agree.
// - A frame that is not newer than what is shown of its alert changes nothing, so replays and two sockets do no harm.

/** Full jitter, doubling. A session that lived for `healthyMs` was healthy: the next trouble starts at the first wait again. */
const RETRY = { firstMs: 1_000, maxMs: 30_000, healthyMs: 30_000 };
const [HELLO_WAIT_MS, REQUEST_TIMEOUT_MS, LOOK_EVERY_MS] = [10_000, 8_000, 500];
const SHOWN_MAX = 60;
/** Seen is what has this share of itself in view, in a visible page, for this long. */
const ON_SCREEN = { share: 0.6, ms: 1_000 };

const state = {
  demo: null, user: "", session: "",
  /** What the connection is doing: connecting, live, waiting or closed {why}. One value, so nothing can disagree. */
  link: { kind: "connecting" },
  alerts: new Map(), // id → {alert, state, seq}
  seq: 0, unread: 0, filled: false,
  arrivals: [], selected: null, told: null,
  lastSent: null, sent: "",
};

const byId = (id) => document.getElementById(id);
const me = () => state.demo.users.find(({ user }) => user === state.user);

// ---- The session: one socket that is believed, and at times one that is about to replace it.

const net = { current: null, next: null, attempt: 0, timer: 0, windowMs: 0, heardAt: 0, heartbeatMs: 30_000 };

/** What to do after a close with `code`. The range decides, so that codes of later servers are understood. Pure. */
function afterClose(code, reason, attempt, windowMs, random) {
  const backOff = random * Math.min(RETRY.maxMs, RETRY.firstMs * 2 ** attempt);
  if (code < 4000 || (code >= 4100 && code < 4200)) return { kind: "retry", inMs: backOff };
  if (code >= 4200 && code < 4300) return { kind: "retry", inMs: windowMs ? random * windowMs : backOff };
  if (code >= 4300 && code < 4400) return { kind: "renew", inMs: backOff };
  return { kind: "stop", why: `The server ended the session: ${reason || "no reason given"} (${code}).` };
}

function connect() {
  clearTimeout(net.timer);
  net.next?.close();
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
    for (const frame of data.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line))) {
      if (Object.hasOwn(OBEYED, frame.type)) OBEYED[frame.type](frame, socket); // What a later server adds is passed over.
    }
  };
  socket.onclose = ({ code, reason }) => closed(socket, code, reason);
}

function closed(socket, code, reason) {
  if (socket !== net.current && socket !== net.next) return; // We let it go ourselves.
  net[socket === net.current ? "current" : "next"] = null;
  if (Date.now() - socket.begunAt > RETRY.healthyMs) net.attempt = 0;
  comeBack(code, reason);
}

function comeBack(code, reason) {
  const then = afterClose(code, reason, net.attempt, net.windowMs, Math.random());
  if (then.kind === "stop") return disconnect(then.why);
  if (net.next) return setLink({ kind: "connecting" }); // The successor is on the way already.
  clearTimeout(net.timer);
  net.timer = setTimeout(then.kind === "renew" ? renew : connect, then.inMs);
  Object.assign(net, { attempt: net.attempt + 1, windowMs: 0 });
  if (!net.current) setLink({ kind: "waiting" });
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
  if (!net.current) setLink({ kind: "connecting" });
  const demo = await request("/demo.json").catch(() => null);
  if (user !== state.user || state.link.kind === "closed") return;
  if (!demo) return comeBack(4300);
  state.demo = demo;
  connect();
}

/** Silence is judged here, now and then, rather than by a timer that a sleeping machine would fire late anyway. */
function listenForSilence() {
  const isSilent = net.current && Date.now() - net.heardAt > 2.5 * net.heartbeatMs;
  const isStuck = net.next && Date.now() - net.next.begunAt > HELLO_WAIT_MS;
  for (const socket of [isSilent && net.current, isStuck && net.next].filter(Boolean)) {
    closed(socket, 1006);
    socket.close();
  }
}

const OBEYED = {
  hello: welcome, alert: takeAlert, receipt: takeReceipt, resync: startOver, goaway: move,
  ping: ({ seq }, socket) => socket.send(JSON.stringify({ type: "pong", seq })),
  error: ({ title }) => console.warn("The server did not accept a frame:", title),
};

function welcome(hello, socket) {
  const before = net.current;
  Object.assign(net, { current: socket, next: null, windowMs: 0, heartbeatMs: hello.heartbeat_ms });
  if (before && before !== socket) before.close(1000); // Made before broken: nothing was missed in between.
  state.session = hello.session;
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
  Object.assign(state, { seq, unread, filled: false, selected: null, told: null });
  sessionStorage.setItem(`cursor ${state.user}`, cursor);
  fill();
}

async function fill() {
  const { user, token } = me();
  const headers = { authorization: `Bearer ${token}` };
  const inbox = await request(`/v1/inbox?limit=${SHOWN_MAX}`, { headers }).catch(() => null);
  if (user !== state.user || (!inbox && state.link.kind !== "live")) return; // The next `hello` asks again.
  if (!inbox) return setTimeout(fill, RETRY.firstMs);
  for (const row of inbox.alerts) upsert(row);
  state.filled = true;
  state.selected ??= newestFirst()[0]?.alert.id ?? null;
  changed();
}

/** Remembers from where to go on. Two sockets may overlap for a moment, so it never goes back. */
function advance({ seq, cursor, unread }) {
  if (seq < state.seq) return;
  Object.assign(state, { seq, unread });
  sessionStorage.setItem(`cursor ${state.user}`, cursor);
}

/** Whether the alert was not known before. What is not newer than what is known changes nothing. */
function upsert({ alert, state: said, seq }) {
  const known = state.alerts.get(alert.id);
  if (!known || seq > known.seq) state.alerts.set(alert.id, { alert, state: said, seq });
  return !known;
}

function takeAlert(frame) {
  advance(frame);
  if (upsert(frame)) {
    select(frame.alert.id);
    put("announce", `New ${frame.alert.severity} alert: ${frame.alert.title}`);
    if (frame.state === "new") say([frame.alert.id], "delivered");
  }
  changed();
}

function takeReceipt(frame) {
  advance(frame);
  const said = frame.state === "unread" ? "seen" : frame.state; // What was seen cannot be unseen.
  for (const { alert } of frame.alerts.map((id) => state.alerts.get(id)).filter(Boolean)) {
    upsert({ alert, state: said, seq: frame.seq });
  }
  changed();
}

function say(alerts, receipt) {
  if (net.current?.readyState !== WebSocket.OPEN || alerts.length === 0) return;
  net.current.send(JSON.stringify({ type: "receipt", alerts, state: receipt }));
}

const inView = new Map(); // id → since when
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    isIntersecting ? inView.set(target.dataset.key, Date.now()) : inView.delete(target.dataset.key);
  }
}, { threshold: ON_SCREEN.share });

function sayWhatIsSeen() {
  if (!byId("auto-seen").checked || state.link.kind !== "live" || document.visibilityState !== "visible") return;
  const isSeen = ([id, since]) => Date.now() - since >= ON_SCREEN.ms && state.alerts.get(id)?.state === "new";
  say([...inView].filter(isSeen).map(([id]) => id), "seen");
}

// ---- Requests: the simulator, the timeline, the producer's form.

async function request(path, options) {
  const response = await fetch(path, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS), ...options });
  const text = await response.text();
  const body = text && /json/.test(response.headers.get("content-type")) ? JSON.parse(text) : {};
  if (!response.ok) throw new Error([body.field, body.detail || body.title || `HTTP ${response.status}`].filter(Boolean).join(": "));
  return body;
}

function asProducer(method, path, body) {
  const headers = { authorization: `Bearer ${state.demo.producer_key}`, "content-type": "application/json" };
  return request(path, { method, headers, body: body && JSON.stringify(body) });
}

async function lookAround() {
  const { user, selected } = state;
  const told = selected && asProducer("GET", `/v1/alerts/${encodeURIComponent(selected)}/timeline?user=${user}`);
  const answers = [request(`/simulator/arrivals?user=${user}&limit=${SHOWN_MAX}`), told];
  const [arrived, happened] = await Promise.allSettled(answers);
  if (user !== state.user) return;
  state.arrivals = arrived.value ?? state.arrivals;
  if (selected === state.selected) state.told = happened.value?.recipients[0] ?? state.told;
}

/** Again and again while somebody looks; each round begins when the one before it has been answered. */
async function keepLooking() {
  if (document.visibilityState === "visible") await lookAround();
  listenForSilence();
  sayWhatIsSeen();
  changed();
  setTimeout(keepLooking, state.link.kind === "waiting" ? 4 * LOOK_EVERY_MS : LOOK_EVERY_MS);
}

async function tell(work) {
  state.sent = await work().catch((error) => `Not accepted. ${error.message}`);
  changed();
}

async function send() {
  const { user, demo } = state;
  const to = { both: demo.users.map((one) => one.user), everyone: [] }[byId("to").value] ?? [byId("to").value];
  const alert = { to: to.length ? { users: to } : { everyone: true }, source: "demo page" };
  for (const field of ["severity", "title", "body", "url"]) {
    if (byId(field).value.trim()) alert[field] = byId(field).value.trim();
  }
  const { id } = await asProducer("POST", "/v1/alerts", alert);
  state.lastSent = { id, title: alert.title };
  if (user === state.user && (to.includes(user) || alert.to.everyone)) select(id); // Also when the screen is closed.
  return "Accepted: it will reach them.";
}

async function resolve() {
  const { id, title } = state.lastSent;
  const { version } = await asProducer("PATCH", `/v1/alerts/${encodeURIComponent(id)}`, { status: "resolved" });
  state.lastSent = null;
  return `“${title}” is resolved (version ${version}).`;
}

// ---- What a person does.

const setLink = (link) => { state.link = link; changed(); };

function select(id) {
  if (id === state.selected) return;
  Object.assign(state, { selected: id, told: null });
  changed();
}

function become(user) {
  disconnect();
  Object.assign(state, { user, seq: 0, unread: 0, filled: false, arrivals: [], selected: null, told: null });
  state.alerts.clear();
  const address = `?user=${encodeURIComponent(user)}`;
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
  byId("clear").addEventListener("click", () => request("/simulator/arrivals", { method: "DELETE" }).catch(console.warn));
  const hurry = () => state.link.kind === "waiting" && document.visibilityState === "visible" && connect();
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
}

async function begin() {
  state.demo = await request("/demo.json").catch(() => null);
  if (!state.demo) {
    put("link-text", "the server does not answer");
    return setTimeout(begin, RETRY.firstMs);
  }
  const asked = new URLSearchParams(location.search).get("user");
  const users = state.demo.users.map(({ user }) => user);
  byId("users").append(...users.map((user) => build(["button", "", user, { type: "button" }])));
  listen();
  become(users.includes(asked) ? asked : users[0]);
  keepLooking();
}

// ---- Drawing: each column from the state alone.

/** `[tag, className, text or parts, attributes]` as a node. */
function build([tag, className, content = "", attributes = {}]) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content.map(build) : [content])); // A string becomes a text node.
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
const isWeb = (url = "") => /^https?:\/\//.test(url) && URL.canParse(url);

let drawing = null;
/** Draws everything, once for all that changes in one go. */
function changed() {
  drawing ??= Promise.resolve().then(() => {
    drawing = null;
    for (const column of [drawFrame, drawScreen, drawArrivals, drawTimeline]) column();
  });
}

function drawFrame() {
  for (const name of document.querySelectorAll(".name")) name.textContent = state.user;
  for (const one of byId("users").children) one.setAttribute("aria-pressed", one.textContent === state.user);
  put("address", me().email);
  put("sent", state.sent);
  byId("resolve").disabled = !state.lastSent;
  document.title = `${state.unread ? `(${state.unread}) ` : ""}Watchbell · ${state.user}`;
}

const newestFirst = () =>
  [...state.alerts.values()].sort((a, b) => b.alert.occurred_at.localeCompare(a.alert.occurred_at)).slice(0, SHOWN_MAX);

function alertCard({ alert, state: said }) {
  const can = (states) => (state.link.kind === "live" && states.includes(said) ? {} : { disabled: "" });
  const button = (receipt, label, states) => ["button", "", label, { type: "button", "data-say": receipt, ...can(states) }];
  const isSelected = alert.id === state.selected;
  const parts = [
    ["div", "line", [["button", "title", alert.title, { type: "button", "aria-pressed": isSelected, title: "Show what happened" }], ["span", "chip", said]]],
    ["p", "text", alert.body],
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
  const { link, unread, session, filled } = state;
  const texts = { live: "live", connecting: session ? "reconnecting" : "connecting", waiting: "reconnecting", closed: "offline" };
  byId("link").dataset.kind = link.kind;
  put("link-text", texts[link.kind]);
  put("toggle", link.kind === "closed" ? "Open again" : "Close this screen");
  byId("cover").hidden = link.kind !== "closed";
  put("cover-text", link.why ?? "This screen is closed. What is sent now goes to the phone.");
  put("unread", unread ? `${unread} unread` : "");
  draw(byId("alerts"), newestFirst().map(alertCard), filled ? "Nothing yet. Send an alert." : "");
  for (const item of byId("alerts").children) watcher.observe(item); // Once more is no more than once.
}

/** The newest of each name: a copy takes the place of the one before it. */
function arrivalsOf(isWanted) {
  const shown = new Map();
  for (const one of state.arrivals.filter(isWanted)) {
    shown.set(`${one.kind} ${one.ids.collapse_id ?? one.ids.tag ?? one.ids.message_id ?? one.ids.apns_id}`, one);
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
  const left = Math.ceil((Date.parse(due_at) - Date.now()) / 1_000);
  return left > 0 ? `${channel} in ${left} s unless seen` : `${channel} now`;
}

function entryCard({ at, what }, index, entries) {
  const after = (Date.parse(at) - Date.parse(entries[0].at)) / 1_000;
  const [kind] = /^(push|email|seen|read|dismissed)|/.exec(what);
  const text = what
    .replace(/last by ([0-9a-f]{32})/, (_, session) => (session === state.session ? "by this window" : "by another window"))
    .replace(/:? (attempt |2.0.0 Queued as )?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, ""); // In the title, for who wants it.
  const parts = [["span", "more", `+${after.toFixed(1)} s`], ["span", "", text, { title: what }]];
  return { key: `${at} ${what}`, look: `entry did-${kind || "other"}`, parts };
}

function drawTimeline() {
  const { told, selected, lastSent } = state;
  put("told-alert", state.alerts.get(selected)?.alert.title ?? (selected && selected === lastSent?.id ? lastSent.title : ""));
  put("next", told ? whatIsNext(told) : "");
  byId("next").classList.toggle("over", Boolean(told?.stopped));
  draw(byId("timeline"), (told?.entries ?? []).map(entryCard), "Every step of an alert, with its time and its reason.");
}

begin();
