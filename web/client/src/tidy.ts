/** What need not be kept of an inbox: receipts that came true, and what is old of a long one. */
import type { Inbox } from "./inbox.ts";
import { rowAfter } from "./protocol.ts";

/** Rows kept; beyond it the oldest changes go, and are paged in again when asked for. */
export const ROWS_MAX = 2_000;

export function tidied(inbox: Inbox): Inbox {
  return trim(settle(inbox));
}

/** Lets go of what came true: a receipt that changes nothing is answered by no frame, so it is judged by the rows. */
function settle(inbox: Inbox): Inbox {
  const touched = new Set<string>();
  const pending = inbox.pending.filter((one) => {
    const isDone = (one.sentAt !== null || one.state === "seen") && one.alerts.every((id) => {
      const row = inbox.rows.get(id);
      return row && !touched.has(id) && rowAfter(row, one) === row;
    });
    if (!isDone) one.alerts.forEach((id) => touched.add(id));
    return !isDone;
  });
  return pending.length === inbox.pending.length ? inbox : { ...inbox, pending };
}

function trim(inbox: Inbox): Inbox {
  if (inbox.rows.size <= ROWS_MAX) return inbox;
  const kept = [...inbox.rows.values()].sort((a, b) => b.seq - a.seq).slice(0, ROWS_MAX / 2);
  const rows = new Map(kept.map((row) => [row.alert.id, row]));
  return { ...inbox, rows, nextBefore: kept.at(-1)?.seq ?? null };
}
