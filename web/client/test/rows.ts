/** Rows and pages of an inbox, as a server would answer them. */
import type { Alert, InboxState, Page, PageStart, Row } from "../src/protocol.ts";

/** The alert `a7` of the change 7, newer than that of the change 6. */
export const rowOf = (seq: number, state: InboxState = "new", alert: Partial<Alert> = {}): Row => ({
  seq, state,
  alert: {
    id: `a${seq}`, version: 1, severity: "info", status: "firing", title: `Alert ${seq}`,
    occurred_at: new Date(1_000_000 + seq * 1_000).toISOString(), ...alert,
  },
});

export const pageOf = (next_before: PageStart | null, ...alerts: Row[]): Page =>
  ({ seq: 9, cursor: "9", unread: 1, deleted_to: 0, next_before, alerts });
