/**
 * What the person said, on its way to the server: at once where that is little, merged and paced where it is much.
 *
 * What holds here:
 * - In any second at most ten messages go out: a server reads a client that sends more slowly, or ends its session.
 * - Receipts of one state (and time) go together, up to what one may name, and never past another of the same alert.
 * - What was not answered is said again over HTTP, each by itself, so that one the server refuses takes no other along.
 * - A `seen` on its way is dropped for an alert of which the person said more: it would come late, and says nothing then.
 */
import { PENDING_MAX, type Pending, settle, take } from "./inbox.ts";
import { RECEIPT_ALERTS_MAX, type Said, afterReceipt } from "./protocol.ts";
import type { State, Step } from "./state.ts";

/** A receipt that the socket did not echo is said again over HTTP, which answers. */
const ANSWER_WAIT_MS = 5_000;
/** Messages in any second; the tenth is left for what is no receipt, such as a pong. */
const MESSAGES_MAX = 9;
/** A mere hint goes out where fewer than these were. */
const HINTS_MAX = 4;
/** Hints that may wait for that. */
const HINTS_WAITING_MAX = 100;

/** Whether there was room. */
export function say({ s }: Step, said: Pick<Pending, "op" | "alerts" | "state" | "until">): boolean {
  // Of whatever is more than seen.
  if (afterReceipt("seen", said.state) !== "seen") change(s, (one) => (one.state === "seen" ? { ...one, alerts: one.alerts.filter((id) => !said.alerts.includes(id)) } : one));
  const { pending } = s.inbox;
  const hasRoom = pending.length < (said.state === "delivered" ? HINTS_WAITING_MAX : PENDING_MAX);
  if (hasRoom) s.inbox = { ...s.inbox, pending: [...pending, { ...said, sentAt: null, sentAs: "" }] };
  return hasRoom;
}

/** When it is to be said, or said again. */
export function dueAt({ said }: State, { state, sentAt }: Pending): number {
  const paceAt = (said.at(state === "delivered" ? -HINTS_MAX : -MESSAGES_MAX) ?? -1_000) + 1_000;
  return Math.max(paceAt, sentAt === null ? 0 : sentAt + ANSWER_WAIT_MS);
}

/** Says what was not said on this connection yet, and again what it did not answer. */
export function sendDue(c: Step): void {
  const { s, now } = c;
  // What changed nothing is not answered, and must not be said again after something else was said of the alert.
  s.inbox = settle(s.inbox);
  for (const link = s.current; link; ) {
    const some = nextMessage(s.inbox.pending.filter((one) => now >= dueAt(s, one)));
    if (!some[0]) return;
    const { state, until, sentAt } = some[0];
    // A name of its own, because each of them may be said again by itself.
    const op = some[0].op + (some[1] ? "+" : "");
    const said = { alerts: [...new Set(some.flatMap((one) => one.alerts))], state, until, op };
    if (link.transport === "ws" && sentAt === null) c.out.push({ do: "send", link: link.id, frame: { type: "receipt", ...said } });
    else c.out.push({ do: "post", ...said });
    s.said = [...s.said, now].slice(-MESSAGES_MAX);
    // Nothing answers that an alert was delivered.
    change(s, (one) => (!some.includes(one) ? one : state === "delivered" ? [] : { ...one, sentAt: now, sentAs: op }));
  }
}

/** The first that is due, and those after it that may go with it. */
function nextMessage(due: readonly Pending[]): Pending[] {
  const [first] = due;
  const together = new Set<string>();
  const held = new Set<string>();
  return due.filter((one) => {
    const fits = one === first || (first?.sentAt === null && one.sentAt === null && one.state === first.state && one.until === first.until
      && together.size + one.alerts.length <= RECEIPT_ALERTS_MAX && !one.alerts.some((id) => held.has(id)));
    for (const id of one.alerts) (fits ? together : held).add(id);
    return fits;
  });
}

/** What HTTP answered: as good as the frame, which comes as well. */
export function takePosted({ s }: Step, op: string, said: { seq?: number; unread?: number; alerts: string[] } & Said): void {
  // Without a number nothing was changed.
  s.inbox = take(s.inbox, [{ type: "receipt", cursor: "", by: "", seq: 0, unread: s.inbox.unread, ...said, op }]).inbox;
}

/** The server will never take it. Those that went together are said again one by one, to find which it was. */
export function refused({ s, out }: Step, op: string): void {
  const isOne = s.inbox.pending.filter(({ sentAs }) => sentAs === op).length < 2;
  change(s, (one) => (one.sentAs !== op ? one : isOne ? [] : { ...one, sentAt: 0 }));
  if (isOne) out.push({ do: "refused", title: "the receipt" });
}

function change(s: State, to: (one: Pending) => Pending | Pending[]): void {
  s.inbox = { ...s.inbox, pending: s.inbox.pending.flatMap(to) };
}
