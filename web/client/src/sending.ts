/**
 * What is said on a connection that lives: receipts, at once where they are few, merged and paced where they are many; and
 * what the server is told of topics and of who looks. Loaded once there is such a connection.
 *
 * What holds here:
 * - In any second at most ten messages go out, none longer than what the server charges as one: a server reads a client that
 *   sends more slowly, or ends its session.
 * - Receipts of one state (and time, and action) go together, up to what one may name, and never past another of the same alert.
 * - A `seen` that waits says nothing of an alert of which the person said more meanwhile.
 * - What was not answered is said again over HTTP, each by itself, so that one the server refuses takes no other along.
 */
import type { Pending } from "./inbox.ts";
import type { ClientFrame } from "./protocol.ts";
import { fits } from "./receipts.ts";
import type { Effect, Event, Link, State, Step } from "./state.ts";

/** A receipt that the socket did not echo is said again over HTTP, which answers. */
const ANSWER_WAIT_MS = 5_000;
/** Messages in any second; the tenth is left for what is not counted here, such as a pong. */
const MESSAGES_MAX = 9;
/** A mere hint goes out where fewer than these were. */
const HINTS_MAX = 4;
/** Messages of a page that goes: a browser lets 64 KiB outlive it. */
const FLUSH_MAX = 15;

/** When the next of what waits is due; null when nothing does. */
export function nextAt(s: State): number | null {
  const at = s.inbox.pending.map((one) => dueAt(s, one));
  if (untold(s)) at.push(paceAt(s));
  return at.length ? Math.min(...at) : null;
}

/** What is due: receipts first, because a person said them. */
export function sendDue(c: Step): void {
  dropSeen(c.s);
  if (c.s.current) sendReceipts(c, c.s.current);
  for (let frame = untold(c.s); frame && c.now >= paceAt(c.s); frame = untold(c.s)) tell(c, frame);
}

/** The page goes: what the server is not known to have is posted at once, in requests that outlive the page. */
export function flush(c: Step): void {
  const { s, out } = c;
  if (!s.token) return;
  let rest = s.inbox.pending.filter(({ state }) => state !== "delivered").map((one) => ({ ...one, sentAt: null }));
  for (let nth = 0; rest[0] && nth < FLUSH_MAX; nth++) {
    const some = nextMessage(rest);
    out.push({ do: "post", ...message(some, rest[0]), keepalive: true });
    rest = rest.filter((one) => !some.includes(one));
  }
}

/** The server will never take it. Those that went together are said again one by one, to find which it was. */
export function refused({ s, out }: Step, op: string): void {
  const isOne = s.inbox.pending.filter(({ sentAs }) => sentAs === op).length < 2;
  change(s, (one) => (one.sentAs !== op ? one : isOne ? [] : { ...one, sentAt: -ANSWER_WAIT_MS }));
  if (isOne) out.push({ do: "refused", title: "the receipt" });
}

/** Says it over HTTP, and answers what came of it. */
export async function post({ op, alerts, state, until, action, keepalive }: Post, ask: Ask, unreadNow: number): Promise<Event> {
  try {
    const { seq, unread, alerts: written } = await ask("POST", "/v1/inbox/receipts", { alerts, state, until, action, op }, { alerts: [""] }, keepalive) as { seq?: unknown; unread?: unknown; alerts: string[] };
    // Without a number nothing was changed.
    const isChange = typeof seq === "number" && typeof unread === "number";
    return { kind: "posted", frame: { type: "receipt", cursor: "", by: "", seq: isChange ? seq : 0, unread: isChange ? unread : unreadNow, alerts: written, state, until, action, op } };
  } catch (error) {
    // What is wrong in itself (400, 413, 422) is wrong the next time as well.
    return { kind: "post-failed", op, refused: [400, 413, 422].includes((error as { status?: number } | null)?.status ?? 0) };
  }
}

type Post = Extract<Effect, { do: "post" }>;

/** A request whose answer has to be like the example. */
export type Ask = (method: string, path: string, body: unknown, example: object, keepalive?: boolean) => Promise<unknown>;

// ---- Receipts.

/** A `seen` on its way is dropped for an alert of which the person said more: it would come late, and says nothing then. */
function dropSeen(s: State): void {
  const more = new Set<string>();
  const pending = [...s.inbox.pending].reverse().map((one) => {
    if (one.state !== "seen") {
      if (one.state !== "delivered") one.alerts.forEach((id) => more.add(id));
      return one;
    }
    const alerts = one.alerts.filter((id) => !more.has(id));
    return alerts.length < one.alerts.length ? { ...one, alerts } : one;
  });
  if (more.size) s.inbox = { ...s.inbox, pending: pending.reverse() };
}

/** When it is to be said, or said again. */
function dueAt(s: State, { state, sentAt }: Pending): number {
  return Math.max(paceAt(s, state === "delivered" ? HINTS_MAX : MESSAGES_MAX), sentAt === null ? 0 : sentAt + ANSWER_WAIT_MS);
}

/** Says what was not said on this connection yet, and again what it did not answer. */
function sendReceipts(c: Step, link: Link): void {
  const { s, now, out } = c;
  for (;;) {
    const some = nextMessage(s.inbox.pending.filter((one) => now >= dueAt(s, one)));
    if (!some[0]) return;
    const { sentAt } = some[0];
    const said = message(some, some[0]);
    if (link.transport === "ws" && sentAt === null) out.push({ do: "send", link: link.id, frame: { type: "receipt", ...said } });
    else out.push({ do: "post", ...said });
    counted(c);
    // Nothing answers that an alert was delivered.
    change(s, (one) => (!some.includes(one) ? one : said.state === "delivered" ? [] : { ...one, sentAt: now, sentAs: said.op }));
  }
}

/** The first that is due, and those after it that may go with it. */
function nextMessage(due: readonly Pending[]): Pending[] {
  const [first] = due;
  const together = new Set<string>();
  const held = new Set<string>();
  return due.filter((one) => {
    const joins = one === first || (first?.sentAt === null && one.sentAt === null && one.state === first.state && one.until === first.until && one.action === first.action
      && !one.alerts.some((id) => held.has(id)) && fits([...together, ...one.alerts]));
    for (const id of one.alerts) (joins ? together : held).add(id);
    return joins;
  });
}

/** Several that say the same as one. It has a name of its own, because each of them may be said again by itself. */
function message(some: readonly Pending[], { op, state, until, action }: Pending): Omit<Post, "do"> {
  return { alerts: [...new Set(some.flatMap(({ alerts }) => alerts))], state, until, action, op: op + (some[1] ? "+" : "") };
}

function change(s: State, to: (one: Pending) => Pending | Pending[]): void {
  s.inbox = { ...s.inbox, pending: s.inbox.pending.flatMap(to) };
}

// ---- Topics, and who looks.

/** What the server was not told yet on this connection: first of topics that are not wanted any more, because it takes so many. */
function untold({ current, topics, visibility }: State): ClientFrame | null {
  if (current?.transport !== "ws") return null;
  if (current.visibility !== visibility) return { type: "visibility", state: visibility };
  const gone = current.topics.find((topic) => !topics.includes(topic));
  const topic = gone ?? topics.find((one) => !current.topics.includes(one));
  return topic === undefined ? null : { type: gone === undefined ? "subscribe" : "unsubscribe", topic };
}

function tell(c: Step, frame: ClientFrame): void {
  const link = c.s.current as Link;
  let { topics } = link;
  if (frame.type === "subscribe") topics = [...topics, frame.topic];
  if (frame.type === "unsubscribe") topics = topics.filter((one) => one !== frame.topic);
  c.s.current = { ...link, topics, visibility: c.s.visibility };
  c.out.push({ do: "send", link: link.id, frame });
  counted(c);
}

// ---- Pace.

/** When the next message may go out. */
function paceAt({ said }: State, max = MESSAGES_MAX): number {
  return (said.at(-max) ?? -1_000) + 1_000;
}

function counted({ s, now }: Step): void {
  s.said = [...s.said, now].slice(-MESSAGES_MAX);
}
