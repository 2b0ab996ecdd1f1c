/** How what a person did is taken back. Pure. */
import type { InboxState, ReceiptState, Row } from "@watchbell/client";

export const UNDO_MS = 6_000;

/** What was done last, and can be undone in every tab of the person. */
export interface Undo {
  id: string;
  what: "read" | "dismissed" | "snoozed";
  rows: { id: string; state: InboxState; until?: string | undefined }[];
  /** Of the alert, where it was one. */
  title: string;
  /** Milliseconds since 1970. */
  until: number;
}

export function undoOf(rows: readonly Row[], what: Undo["what"], now: number): Undo {
  return {
    id: `${now} ${Math.random()}`, what, until: now + UNDO_MS, title: rows.length === 1 ? (rows[0]?.alert.title ?? "") : "",
    rows: rows.map(({ alert, state, until }) => ({ id: alert.id, state, until })),
  };
}

/**
 * The receipts that bring rows back to where they were, in their order: `unread` undoes whatever came after, and then they
 * are moved forward again.
 */
export function receiptsBack({ rows }: Pick<Undo, "rows">): { ids: string[]; state: ReceiptState; until?: string | undefined }[] {
  const receipts: { ids: string[]; state: ReceiptState; until?: string | undefined }[] = [{ ids: rows.map(({ id }) => id), state: "unread" }];
  for (const { id, state, until } of rows) {
    if (state === "new" || state === "seen") continue;
    const same = receipts.find((one) => one.state === state && one.until === until);
    if (same) same.ids.push(id);
    else receipts.push({ ids: [id], state, until });
  }
  return receipts;
}

/** Whether what was done can still be taken back. A clock that was set back does not make it last. */
export function canUndo({ until }: Undo, now: number): boolean {
  return until > now && until - now <= UNDO_MS;
}
