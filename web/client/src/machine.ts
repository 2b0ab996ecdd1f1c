/**
 * The session as one pure step: what is, and what happened, give what is next and what to do.
 *
 * What holds here:
 * - It owns no timer, no clock and no chance: `wakeAt` says when to call again.
 * - At most one connection is believed (`current`); a second one (`next`) takes its place only once greeted,
 *   so a move loses nothing (make before break).
 * - Silence is judged when we look, never by the lateness of a timer: after a sleep the server is asked first.
 *
 * Elsewhere: what frames do to the inbox in changes.ts and inbox.ts; receipts, topics and the next token, which only a
 * connection that lives needs, in living.ts; the browser's side in client.ts.
 */
import { fetchMissing, pageFailed, pageTaken, takeFrames } from "./changes.ts";
import { take, unsent } from "./inbox.ts";
import { closeClass } from "./protocol.ts";
import { grouped, say } from "./receipts.ts";
import { isFrame } from "./shapes.ts";
import type { Effect, Ended, Env, Event, Link, Living, State, Step, WireEvent } from "./state.ts";

/** How long a dial may take until the server's greeting. */
export const GREETING_WAIT_MS = 8_000;
/** How long the token's callback may take: after that it counts as a rejection. What it says later is heard all the same. */
export const TOKEN_WAIT_MS = 10_000;
/** Where nobody is signed in, the callback is asked again after this, while somebody looks. */
const ASK_AGAIN_MS = 60_000;
/** How long a silent server has to answer when asked. */
export const PROBE_WAIT_MS = 3_000;
/** Silence of this many heartbeats is asked about. */
const SILENCE_HEARTBEATS = 2.2;
/** Heard of within this time, a connection needs no question when the page wakes. */
const FRESH_MS = 2_000;
/** A session that lived this long was healthy: the next trouble starts at the first wait again. */
const HEALTHY_MS = 30_000;
/** Waits before a better transport is tried again: doubling, with jitter. */
const CLIMB_FIRST_MS = 5_000;
const CLIMB_MAX_MS = 300_000;
/** The window for a server that closed with `resume` and had announced none. */
const RESUME_WINDOW_MS = 5_000;
/** Topics of one session: the server takes no more of them, and none with a longer name (src/domain/topic.rs). */
const TOPICS_MAX = 64;
const TOPIC_CHARS_MAX = 200;
/** A session that changes its topics only by a new connection gathers changes for this long. */
const TOPICS_WAIT_MS = 300;
/** The server's close code where the token came too late: we do have one, so it is tried again. */
const CLOSED_NO_AUTH = 4008;

export function step(before: State, event: Event, env: Env): [State, Effect[]] {
  const c: Step = { ...env, s: { ...before }, out: [] };
  hear(c, event);
  plan(c);
  return [c.s, c.out];
}

/** When `tick` is due, or null when only an event can change anything. */
export function wakeAt(s: State, living: Living | null): number | null {
  if (!s.wanted || s.role === "follower") return null;
  if (s.ended) return s.askUntil ?? asksAgainAt(s);
  const at = [s.current, s.next].map((link) => link && deadline(link, s));
  if (!s.next && s.askUntil === null) at.push(...(s.current ? [s.climbAt, s.moveAt] : [s.retryAt]));
  at.push(s.askUntil ?? s.refreshAt);
  if (s.current && !s.fetch) at.push(s.need?.at ?? null);
  if (s.current && living) at.push(living.nextAt(s));
  const due = at.filter((time) => time !== null);
  return due.length ? Math.min(...due) : null;
}

function hear(c: Step, event: Event): void {
  const { s, now } = c;
  switch (event.kind) {
    case "start":
      if (s.wanted && !s.ended) return;
      begin(c);
      s.wanted = true;
      return;
    case "sign-in":
      if (s.current) s.refreshAt = now;
      else begin(c);
      s.stale = true;
      return;
    case "stop": s.wanted = false; return;
    case "role": takeRole(c, event.role); return;
    case "visibility":
      if (event.visibility === s.visibility) return;
      s.visibility = event.visibility;
      if (event.visibility === "visible") hurry(c);
      return;
    case "retry":
      s.attempt = 0;
      hurry(c, 0);
      return;
    case "online": s.online = true; hurry(c); return;
    case "woke": hurry(c); return;
    case "offline":
      s.online = false;
      if (s.current && s.current.probedAt === null) probe(c, s.current);
      return;
    case "token": takeToken(c, event); return;
    case "token-failed": if (s.askUntil !== null) tokenFailed(c); return;
    case "open": { const link = heard(c, event.link); if (link && !link.greeted) resumed(c, link); return; }
    case "frames": { const link = heard(c, event.link); if (link) takeKnown(c, link, event.frames); return; }
    case "ended": {
      const link = linkOf(s, event.link);
      if (link) lost(c, link, event);
      return;
    }
    case "page": pageTaken(c, event.page, event.more); return;
    case "page-failed": pageFailed(c, event.more); return;
    case "more":
      if (s.paging || s.inbox.nextBefore === null) return;
      s.paging = true;
      c.out.push({ do: "fetch", before: s.inbox.nextBefore, more: true });
      return;
    case "say": if (!say(c, event)) c.out.push({ do: "refused", title: "too many receipts wait" }); return;
    // What HTTP answered is as good as the frame, which comes as well.
    case "posted": s.inbox = take(s.inbox, [event.frame]).inbox; return;
    case "post-failed": if (event.refused) c.living?.refused(c, event.op); return; // Otherwise it is said again when its time is over.
    case "leave": c.living?.flush(c); return;
    case "topics": setTopics(c, event.topics); return;
    case "told":
      if (s.role !== "follower") return;
      Object.assign(s, { inbox: event.inbox, user: event.user, remote: event });
  }
}

/** What is due now. Runs after every event, so no event has to think of it. */
function plan(c: Step): void {
  const { s, now } = c;
  const isDue = (at: number | null) => at !== null && now >= at;
  if (isDue(s.askUntil)) tokenFailed(c);
  if (!s.wanted || s.ended || s.role === "follower") {
    for (const link of [s.next, s.current]) if (link) hangUp(c, link);
    Object.assign(s, { retryAt: null, moveAt: null, climbAt: null });
    if (s.wanted && s.role !== "follower" && isDue(asksAgainAt(s))) ask(c);
    return;
  }
  for (const link of [s.next, s.current]) if (link && now >= deadline(link, s)) judge(c, link);
  if (s.ended) return plan(c);
  if (s.token ? isDue(s.refreshAt) : s.current || isDue(s.retryAt)) ask(c);
  if (s.token && !s.next) {
    if (!s.current && isDue(s.retryAt)) dial(c, s.tier);
    else if (s.current && isDue(s.moveAt)) dial(c, s.home);
    else if (s.current && s.home && isDue(s.climbAt)) dial(c, s.climbs % s.home);
  }
  fetchMissing(c);
  c.living?.live(c);
}

/** What is a frame; it does no harm to pass over what is none, because a change that is missing is fetched. */
function takeKnown(c: Step, link: Link, all: readonly unknown[]): void {
  const frames = all.filter(isFrame);
  if (frames.length < all.length) c.out.push({ do: "malformed" });
  takeFrames(c, link, frames, greeted);
}

function dial(c: Step, tier: number): void {
  const { s, now } = c;
  const transport = c.transports[tier] ?? "ws";
  const { visibility } = s;
  // The first message has to hold the token as well: what is too much for it follows topic by topic.
  const topics = (transport === "ws" ? grouped(s.topics)[0] : s.topics) ?? [];
  s.links += 1;
  s.next = { id: s.links, transport, heardAt: now, probedAt: null, greeted: false, replayTo: 0, held: null, topics, visibility };
  Object.assign(s, { tier, retryAt: null });
  c.out.push({ do: "dial", link: s.links, transport, token: s.token ?? "", cursor: s.inbox.cursor, topics, visibility });
}

/** The server greeted: from now on this is the connection. */
function greeted(c: Step, link: Link): void {
  const { s, now } = c;
  link.greeted = true;
  if (link !== s.next) return;
  if (s.current) hangUp(c, s.current);
  s.home = c.transports.indexOf(link.transport);
  if (!s.home) s.climbs = 0;
  Object.assign(s, { current: link, next: null, retryAt: null, moveAt: null, aliveSince: now, tier: s.home, online: true, trouble: null });
  s.climbAt = s.home ? now + climbWait(c) : null;
}

/** A greeting without words: a poll with a cursor was answered. */
function resumed(c: Step, link: Link): void {
  greeted(c, link);
  if (!c.s.inbox.loaded) c.s.need ??= { from: c.s.inbox.seq, at: c.now };
}

/** A connection is gone, or will not come. */
function lost(c: Step, link: Link, { code, reason = "", waitMs, trouble }: Omit<Extract<WireEvent, { kind: "ended" }>, "kind">): void {
  const { s, now } = c;
  const wasCurrent = link === s.current;
  hangUp(c, link);
  if (wasCurrent) {
    if (now - s.aliveSince >= HEALTHY_MS) s.attempt = 0;
    s.inbox = unsent(s.inbox);
  }
  if (!s.current) s.trouble = trouble ?? s.trouble ?? "unreachable";
  const then = code === CLOSED_NO_AUTH ? "back_off" : closeClass(code);
  if (then === "stop") return end(c, { why: "refused", code, reason });
  if (then === "new_token") Object.assign(s, { token: null, stale: true });
  if (s.next) return; // Its successor is on the way already.
  if (s.current) return again(c);
  if (!link.greeted && code < 4000) s.tier = (s.tier + 1) % c.transports.length;
  if (then === "resume") s.retryAt = Math.max(now, s.moveAt ?? now + c.random() * RESUME_WINDOW_MS);
  else if (then === "new_token" && s.attempt === 0) Object.assign(s, { attempt: 1, retryAt: now });
  else backOff(c, waitMs);
  s.moveAt = null;
}

function backOff(c: Step, waitMs = 0): void {
  const { s } = c;
  if (s.attempt >= c.backoff.attemptsMax) return end(c, { why: "gave-up" });
  s.retryAt = c.now + waitMs + c.backoff.waitMs(s.attempt, c.random);
  s.attempt += 1;
}

/** A move or a climb failed, and what we have still holds. */
function again(c: Step): void {
  const { s } = c;
  if (s.moveAt !== null) s.moveAt = c.now + c.backoff.waitMs(++s.attempt, c.random);
  else {
    s.climbs += 1;
    s.climbAt = c.now + climbWait(c);
  }
}

function climbWait(c: Step): number {
  return Math.min(CLIMB_MAX_MS, CLIMB_FIRST_MS * 2 ** Math.min(c.s.climbs, 10)) * (0.5 + c.random() / 2);
}

function end({ s }: Step, ended: Ended): void {
  s.ended = ended;
}

/** From the beginning: the token is asked for anew. */
function begin({ s, now }: Step): void {
  Object.assign(s, { ended: null, attempt: 0, retryAt: now, askAt: now, stale: s.stale || s.ended !== null, token: null });
}

function takeRole(c: Step, role: State["role"]): void {
  const { s, now } = c;
  Object.assign(s, { role, remote: null, inbox: unsent(s.inbox) });
  if (s.ended?.why === "signed-out") s.ended = null;
  if (role === "follower") s.token = null; // It grows old unseen.
  else if (now < s.askAt) end(c, { why: "signed-out" }); // It was a moment ago, and is asked again in its time.
  else if (!s.current) s.retryAt = now;
}

function ask({ s, now, out }: Step): void {
  if (s.askUntil !== null) return;
  s.askUntil = now + TOKEN_WAIT_MS;
  out.push({ do: "ask-token", fresh: s.stale || s.token !== null });
}

/** When a session that ended because nobody was signed in asks who is, by itself. */
function asksAgainAt({ ended, visibility, askAt }: State): number | null {
  return ended?.why === "signed-out" && visibility === "visible" ? askAt : null;
}

function tokenFailed(c: Step): void {
  const { s, now } = c;
  s.askUntil = null;
  if (s.ended) s.askAt = now + ASK_AGAIN_MS;
  else if (s.current && s.token) s.refreshAt = now + c.backoff.waitMs(3, c.random);
  else backOff(c);
}

function takeToken(c: Step, event: { token: string | null }): void {
  const { s, now } = c;
  s.askUntil = null;
  if (event.token === null) {
    Object.assign(s, { token: null, stale: true, askAt: now + ASK_AGAIN_MS });
    return end(c, { why: "signed-out" });
  }
  if (s.ended?.why === "signed-out") s.ended = null;
  const { current } = s;
  const isNew = event.token !== s.token;
  Object.assign(s, { token: event.token, stale: false, refreshAt: null, renewsFor: null, askAt: 0 });
  if (!current && !s.next) s.retryAt ??= now;
  if (!current || !isNew) return;
  if (current.transport === "ws") c.out.push({ do: "send", link: current.id, frame: { type: "auth", token: event.token } });
  else s.moveAt = now;
}

function setTopics(c: Step, topics: readonly string[]): void {
  const { s } = c;
  s.topics = topics.filter(({ length }) => length <= TOPIC_CHARS_MAX).slice(0, TOPICS_MAX);
  if (s.topics.length < topics.length) c.out.push({ do: "refused", title: "a topic" });
  if (s.current && s.current.transport !== "ws" && `${s.topics}` !== `${s.current.topics}`) s.moveAt = c.now + TOPICS_WAIT_MS;
}

/** Somebody is looking, or the network is back: no waiting, and no believing in an old connection. */
function hurry(c: Step, spreadMs = 500): void {
  const { s, now } = c;
  if (s.ended?.why === "gave-up") begin(c);
  s.askAt = Math.min(s.askAt, now);
  if (s.retryAt !== null) s.retryAt = Math.min(s.retryAt, now + c.random() * spreadMs);
  if (s.current && s.current.probedAt === null && now - s.current.heardAt > FRESH_MS) probe(c, s.current);
}

function deadline(link: Link, s: State): number {
  if (!link.greeted) return link.heardAt + GREETING_WAIT_MS;
  if (link.probedAt === null) return link.heardAt + s.heartbeatMs * SILENCE_HEARTBEATS;
  return link.probedAt + (link.transport === "ws" ? PROBE_WAIT_MS : GREETING_WAIT_MS);
}

function judge(c: Step, link: Link): void {
  if (link.greeted && link.probedAt === null) probe(c, link);
  else lost(c, link, { code: 1006 });
}

/** Is anybody there? Only a WebSocket can be asked; the others are dialed anew, and let go when that succeeds or time is up. */
function probe(c: Step, link: Link): void {
  replaceLink(c.s, { ...link, probedAt: c.now });
  if (link.transport === "ws") c.out.push({ do: "probe", link: link.id });
  else c.s.moveAt = c.now;
}

function heard(c: Step, id: number): Link | null {
  const link = linkOf(c.s, id);
  return link && replaceLink(c.s, { ...link, heardAt: c.now, probedAt: null });
}

function hangUp(c: Step, link: Link): void {
  if (c.s.current?.id === link.id) c.s.current = null;
  if (c.s.next?.id === link.id) c.s.next = null;
  c.out.push({ do: "hang-up", link: link.id });
}

function linkOf(s: State, id: number): Link | null {
  return [s.current, s.next].find((link) => link?.id === id) ?? null;
}

function replaceLink(s: State, link: Link): Link {
  if (s.current?.id === link.id) s.current = link;
  else s.next = link;
  return link;
}
