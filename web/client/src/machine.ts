/**
 * The session as one pure step: what is, and what happened, give what is next and what to do.
 *
 * What holds here:
 * - It owns no timer, no clock and no chance: `wakeAt` says when to call again.
 * - At most one connection is believed (`current`); a second one (`next`) takes its place only once greeted,
 *   so a move loses nothing (make before break).
 * - Silence is judged when we look, never by the lateness of a timer: after a sleep the server is asked first.
 *
 * Elsewhere: what frames do to the inbox in changes.ts and inbox.ts, what the person said in receipts.ts, the browser's
 * side in client.ts.
 */
import { fetchMissing, pageFailed, pageTaken, takeFrames } from "./changes.ts";
import { unsent } from "./inbox.ts";
import { closeClass } from "./protocol.ts";
import { dueAt, refused, say, sendDue, takePosted } from "./receipts.ts";
import type { Effect, Ended, Env, Event, Link, State, Step } from "./state.ts";

/** How long a dial may take until the server's greeting. */
export const GREETING_WAIT_MS = 8_000;
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

export function step(before: State, event: Event, env: Env): [State, Effect[]] {
  const c: Step = { ...env, s: { ...before }, out: [] };
  hear(c, event);
  plan(c);
  return [c.s, c.out];
}

/** When `tick` is due, or null when only an event can change anything. */
export function wakeAt(s: State): number | null {
  if (!s.wanted || s.ended || s.role === "follower") return null;
  const at = [s.current, s.next].map((link) => link && deadline(link, s));
  if (!s.next && !s.asking) at.push(...(s.current ? [s.climbAt, s.moveAt] : [s.retryAt]));
  if (!s.asking) at.push(s.refreshAt);
  if (s.current && !s.fetch) at.push(s.need?.at ?? null);
  if (s.current) for (const one of s.inbox.pending) at.push(dueAt(s, one));
  const due = at.filter((time) => time !== null);
  return due.length ? Math.min(...due) : null;
}

function hear(c: Step, event: Event): void {
  const { s, now } = c;
  switch (event.kind) {
    case "start":
      if (s.wanted && !s.ended) return;
      Object.assign(s, { wanted: true, ended: null, attempt: 0, retryAt: now, stale: s.stale || s.ended !== null });
      return;
    case "stop": s.wanted = false; return;
    case "role":
      s.role = event.role;
      s.remote = null;
      s.inbox = unsent(s.inbox);
      if (event.role !== "follower" && !s.current && !s.next) s.retryAt = now;
      return;
    case "visibility":
      if (event.visibility === s.visibility) return;
      s.visibility = event.visibility;
      if (s.current?.transport === "ws") c.out.push({ do: "send", link: s.current.id, frame: { type: "visibility", state: event.visibility } });
      if (event.visibility === "visible") hurry(c);
      return;
    case "online": s.online = true; hurry(c); return;
    case "offline":
      s.online = false;
      if (s.current && s.current.probedAt === null) probe(c, s.current);
      return;
    case "token": takeToken(c, event); return;
    case "token-failed":
      s.asking = false;
      if (s.current && s.token) s.refreshAt = now + c.backoff.waitMs(3, c.random);
      else backOff(c);
      return;
    case "open": { const link = heard(c, event.link); if (link && !link.greeted) resumed(c, link); return; }
    case "frames": { const link = heard(c, event.link); if (link) takeFrames(c, link, event.frames, greeted); return; }
    case "ended": {
      const link = linkOf(s, event.link);
      if (link) lost(c, link, event.code, event.reason, event.waitMs);
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
    case "posted": takePosted(c, event.op, event.said); return;
    case "post-failed": if (event.refused) refused(c, event.op); return; // Otherwise it is said again when its time is over.
    case "topics": setTopics(c, event.topics); return;
    case "told":
      if (s.role !== "follower") return;
      Object.assign(s, { inbox: event.inbox, user: event.user, remote: { status: event.status, transport: event.transport } });
  }
}

/** What is due now. Runs after every event, so no event has to think of it. */
function plan(c: Step): void {
  const { s, now } = c;
  if (!s.wanted || s.ended || s.role === "follower") {
    for (const link of [s.next, s.current]) if (link) hangUp(c, link);
    Object.assign(s, { retryAt: null, moveAt: null, climbAt: null });
    return;
  }
  for (const link of [s.next, s.current]) if (link && now >= deadline(link, s)) judge(c, link);
  if (s.ended) return plan(c);
  const isDue = (at: number | null) => at !== null && now >= at;
  if (!s.asking && (s.token ? isDue(s.refreshAt) : s.current || isDue(s.retryAt))) {
    s.asking = true;
    c.out.push({ do: "ask-token", fresh: s.stale || s.token !== null });
  }
  if (s.token && !s.next) {
    if (!s.current && isDue(s.retryAt)) dial(c, s.tier);
    else if (s.current && isDue(s.moveAt)) dial(c, s.home);
    else if (s.current && s.home && isDue(s.climbAt)) dial(c, s.climbs % s.home);
  }
  fetchMissing(c);
  sendDue(c);
}

function dial(c: Step, tier: number): void {
  const { s, now } = c;
  const transport = c.transports[tier] ?? "ws";
  s.links += 1;
  s.next = { id: s.links, transport, heardAt: now, probedAt: null, greeted: false, replayTo: 0, held: null };
  Object.assign(s, { tier, retryAt: null });
  c.out.push({
    do: "dial", link: s.links, transport, token: s.token ?? "", cursor: s.inbox.cursor, topics: s.topics, visibility: s.visibility,
  });
}

/** The server greeted: from now on this is the connection. */
function greeted(c: Step, link: Link): void {
  const { s, now } = c;
  link.greeted = true;
  if (link !== s.next) return;
  if (s.current) hangUp(c, s.current);
  s.home = c.transports.indexOf(link.transport);
  if (!s.home) s.climbs = 0;
  Object.assign(s, { current: link, next: null, retryAt: null, moveAt: null, aliveSince: now, tier: s.home, online: true });
  s.climbAt = s.home ? now + climbWait(c) : null;
}

/** A greeting without words: a poll with a cursor was answered. */
function resumed(c: Step, link: Link): void {
  greeted(c, link);
  if (!c.s.inbox.loaded) c.s.need ??= { from: c.s.inbox.seq, at: c.now, quiet: true };
}

/** A connection is gone, or will not come. */
function lost(c: Step, link: Link, code: number, reason: string, waitMs = 0): void {
  const { s, now } = c;
  const wasCurrent = link === s.current;
  hangUp(c, link);
  if (wasCurrent) {
    if (now - s.aliveSince >= HEALTHY_MS) s.attempt = 0;
    s.inbox = unsent(s.inbox);
  }
  const then = closeClass(code);
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

function takeToken(c: Step, event: { token: string | null; expiresAt: number | null }): void {
  const { s, now } = c;
  s.asking = false;
  if (event.token === null) return end(c, { why: "signed-out" });
  const { current } = s;
  const isNew = current !== null && event.token !== s.token;
  const lifeMs = event.expiresAt && Math.max(10_000, event.expiresAt - now);
  Object.assign(s, { token: event.token, stale: false, refreshAt: lifeMs && now + lifeMs * (0.7 + 0.2 * c.random()) });
  if (!current && !s.next) s.retryAt ??= now;
  if (!isNew) return;
  if (current.transport === "ws") c.out.push({ do: "send", link: current.id, frame: { type: "auth", token: event.token } });
  else s.moveAt = now;
}

function setTopics(c: Step, topics: readonly string[]): void {
  const { current, topics: before } = c.s;
  const changed = [...topics, ...before].filter((topic) => !before.includes(topic) || !topics.includes(topic));
  c.s.topics = topics;
  if (!current || changed.length === 0) return;
  if (current.transport !== "ws") c.s.moveAt = c.now;
  else for (const topic of changed) c.out.push({ do: "send", link: current.id, frame: { type: topics.includes(topic) ? "subscribe" : "unsubscribe", topic } });
}

/** Somebody is looking, or the network is back: no waiting, and no believing in an old connection. */
function hurry(c: Step): void {
  const { s, now } = c;
  if (s.ended?.why === "gave-up") Object.assign(s, { ended: null, attempt: 0, retryAt: now });
  if (s.retryAt !== null) s.retryAt = Math.min(s.retryAt, now + c.random() * 500);
  if (s.current && s.current.probedAt === null && now - s.current.heardAt > FRESH_MS) probe(c, s.current);
}

function deadline(link: Link, s: State): number {
  if (!link.greeted) return link.heardAt + GREETING_WAIT_MS;
  if (link.probedAt === null) return link.heardAt + s.heartbeatMs * SILENCE_HEARTBEATS;
  return link.probedAt + (link.transport === "ws" ? PROBE_WAIT_MS : GREETING_WAIT_MS);
}

function judge(c: Step, link: Link): void {
  if (link.greeted && link.probedAt === null) probe(c, link);
  else lost(c, link, 1006, "silent");
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
