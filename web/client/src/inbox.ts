/**
 * The inbox as this client knows it. Pure: every function answers a new value.
 *
 * What holds here:
 * - A row takes nothing that has a lower change number, so repeats, replays and two connections at once do no harm.
 * - `cursor` never passes a change that may be missing: whoever resumes from it is told everything that is not here.
 * - What this person said shows at once (`pending`) and is folded over what the server said, never into it.
 */
import {
  type AlertFrame,
  type Page,
  type PageStart,
  type ReceiptFrame,
  type Row,
  type Said,
  isUnread,
  rowAfter,
} from "./protocol.ts";

/** Receipts that may wait for the server's word. */
export const PENDING_MAX = 1_000;

/** A receipt that the server is not known to have written. */
export interface Pending extends Said {
  op: string;
  alerts: string[];
  /** When it was last sent; null: not yet on this connection. */
  sentAt: number | null;
  /** The message that it went in: several that say the same go together. */
  sentAs: string;
}

export interface Inbox {
  rows: ReadonlyMap<string, Row>;
  /** Everything up to here is known, and the same as a cursor. */
  seq: number;
  cursor: string | null;
  /** The highest number heard of, and the server's badge there. */
  top: number;
  unread: number;
  /** Rows that were deleted by the change of this number, or before, are not here. */
  deletedTo: number;
  pending: readonly Pending[];
  /** Where the next older page begins; null when there is none, or nothing was loaded yet. */
  nextBefore: PageStart | null;
  loaded: boolean;
}

export const empty: Inbox = {
  rows: new Map(), seq: 0, cursor: null, top: 0, unread: 0, deletedTo: 0, pending: [], nextBefore: null, loaded: false,
};

/** Takes what the server said. `news` are the alerts that are new to the person, or new again. */
export function take(inbox: Inbox, frames: readonly (AlertFrame | ReceiptFrame)[]): { inbox: Inbox; news: Row[] } {
  const rows = new Map(inbox.rows);
  const news = new Map<string, Row>();
  let next: Inbox = { ...inbox, rows };
  const ops = new Set<string>();
  for (const frame of frames) {
    if (frame.type === "alert") {
      const { alert, state, until, answer, seq } = frame;
      const known = rows.get(alert.id);
      // What is not here and from before a deletion was deleted, or is further down.
      if (!(seq < (known?.seq ?? inbox.deletedTo))) {
        const row: Row = { alert, state, until, answer, seq };
        rows.set(alert.id, row);
        if (state === "new" && known?.state !== "new") news.set(alert.id, row);
      }
    } else {
      if (frame.op) ops.add(frame.op);
      for (const id of frame.alerts) {
        const row = rows.get(id);
        if (!row || frame.seq <= row.seq) continue;
        rows.set(id, { ...rowAfter(row, frame), seq: frame.seq });
        if (frame.state !== "unread") news.delete(id);
      }
    }
    next = counted(next, frame);
  }
  const pending = next.pending.filter(({ sentAs }) => !ops.has(sentAs));
  return { inbox: { ...next, pending }, news: [...news.values()] };
}

/** Takes a page of the inbox. `news` are alerts from after the place we knew everything up to, also where they came back. */
export function takePage(inbox: Inbox, page: Page): { inbox: Inbox; news: Row[] } {
  const rows = new Map(inbox.rows);
  const news: Row[] = [];
  for (const row of page.alerts) {
    const known = rows.get(row.alert.id);
    // An equal number is taken: a receipt may have come here without the update before it.
    if (known && known.seq > row.seq) continue;
    rows.set(row.alert.id, row);
    if (row.state === "new" && known?.state !== "new" && row.seq > inbox.seq) news.push(row);
  }
  return { inbox: counted({ ...inbox, rows, loaded: true }, page), news };
}

/** The badge, as of the highest number heard of. */
export function counted(inbox: Inbox, { seq, unread }: { seq: number; unread: number }): Inbox {
  return seq >= inbox.top ? { ...inbox, top: seq, unread } : inbox;
}

/** Everything up to `seq` is here. */
export function reached(inbox: Inbox, { seq, cursor }: { seq: number; cursor: string }): Inbox {
  return seq > inbox.seq || !inbox.cursor ? { ...inbox, seq, cursor } : inbox;
}

/** What was said on a connection that is gone is said again on the next: a receipt may be repeated. */
export function unsent(inbox: Inbox): Inbox {
  return { ...inbox, pending: inbox.pending.map((one) => ({ ...one, sentAt: null })) };
}

/** What the person sees: rows as they will be, newest first, the badge, and how many receipts wait for the server. */
export function view(inbox: Inbox): { alerts: Row[]; unread: number; waiting: number } {
  let unread = inbox.unread;
  const rows = new Map(inbox.rows);
  for (const one of inbox.pending) {
    for (const id of one.alerts) {
      const before = rows.get(id);
      if (!before) continue;
      const after = rowAfter(before, one);
      rows.set(id, after);
      unread += +isUnread(after.state) - +isUnread(before.state);
    }
  }
  return { alerts: [...rows.values()].sort(newestFirst), unread: Math.max(0, unread), waiting: inbox.pending.filter(({ state }) => state !== "delivered").length };
}

function newestFirst(a: Row, b: Row): number {
  return Date.parse(b.alert.occurred_at) - Date.parse(a.alert.occurred_at) || (a.alert.id < b.alert.id ? 1 : -1);
}
