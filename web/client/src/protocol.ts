/**
 * Frames of `watchbell.v1` and what they mean. The Rust side is src/wire/frame.rs and src/wire/close.rs;
 * tests/fixtures holds one of each frame for both. What a later server adds is ignored.
 */

export type InboxState = "new" | "seen" | "read" | "dismissed" | "snoozed";
export type ReceiptState = "delivered" | "seen" | "read" | "dismissed" | "unread" | "snoozed" | "answered";
export type Transport = "ws" | "sse" | "poll";

export interface Alert {
  id: string;
  version: number;
  severity: "info" | "warning" | "critical";
  status: "firing" | "acknowledged" | "suppressed" | "resolved";
  title: string;
  body?: string;
  url?: string;
  source?: string;
  category?: string;
  labels?: Record<string, string>;
  data?: unknown;
  occurred_at: string;
  expires_at?: string;
  /** An `https` address of a picture. */
  image?: string;
  /** How `body` is written; as text when absent. */
  body_format?: "text" | "markdown";
  /** Alerts of one key are shown as one group. */
  group_key?: string;
  /** There where one of the recipients is to take the alert on, which is said over HTTP (client/README.md): empty until somebody did. */
  acknowledgement?: { by?: string; at?: string };
  /** Buttons, three at the most. */
  actions?: AlertAction[];
}

/** A button of an alert: it opens `url`, or says `answer` to the producer. */
export interface AlertAction {
  id: string;
  title: string;
  url?: string;
  answer?: string;
}

export interface TopicEvent {
  topic: string;
  type?: string;
  data?: unknown;
  occurred_at?: string;
}

/** What the person did with an alert, until when they put it off (RFC 3339, only where it is snoozed), and their first answer. */
export interface Standing {
  state: InboxState;
  until?: string | undefined;
  answer?: Answer | undefined;
}

/** Which of the alert's actions the person took, and when: RFC 3339, absent until the server's own row is here. */
export interface Answer {
  action: string;
  at?: string;
}

/** What a receipt says, with the time of a snooze or the action of an answer. */
export interface Said {
  state: ReceiptState;
  until?: string | undefined;
  action?: string | undefined;
}

/** A place in the inbox and the badge there: carried by every frame that changes it. */
export interface Place {
  seq: number;
  cursor: string;
  unread: number;
}

export type AlertFrame = Place & { type: "alert"; alert: Alert } & Standing;
export type ReceiptFrame = Place & { type: "receipt"; alerts: string[]; by: string; op?: string } & Said;
export type HelloFrame = Place & {
  type: "hello";
  session: string;
  user: string;
  resumed: boolean;
  heartbeat_ms: number;
  server_time: string;
};
export type TopicFrame =
  | { type: "event"; topic: string; event: TopicEvent }
  | { type: "snapshot"; topic: string; events: TopicEvent[] };

export type ServerFrame =
  | HelloFrame
  | AlertFrame
  | ReceiptFrame
  | TopicFrame
  | (Place & { type: "resync"; reason: string })
  | { type: "ping"; seq: number }
  | { type: "goaway"; after_ms: number; within_ms: number; reason: string }
  | { type: "error"; code: string; title: string }
  | { type: "preferences" };

export type ClientFrame =
  | { type: "auth"; token: string; cursor?: string; visibility?: Visibility; topics?: string[] }
  | ({ type: "receipt"; alerts: string[]; op?: string } & Said)
  | { type: "subscribe" | "unsubscribe" | "refresh"; topic: string }
  | { type: "visibility"; state: Visibility }
  | { type: "pong"; seq: number };

export type Visibility = "visible" | "hidden";

/** Where a page of the inbox begins, sent back as it came: a change, or a place within one that fills several pages. */
export type PageStart = number | string;

/** A page of `GET /v1/inbox`, newest change first. */
export interface Page {
  seq: number;
  cursor: string;
  unread: number;
  /** The last change that deleted rows; 0: none did. An older server leaves it out, and nothing is lower than that. */
  deleted_to: number;
  next_before: PageStart | null;
  alerts: Row[];
}

/** An alert in the inbox, with the number of its last change. */
export interface Row extends Standing {
  seq: number;
  alert: Alert;
}

export type CloseClass = "stop" | "back_off" | "resume" | "new_token";

/** What to do after a close. The range decides, so that codes of later servers are understood. */
export function closeClass(code: number): CloseClass {
  if (code < 4000) return "back_off";
  return ([, "back_off", "resume", "new_token"] as const)[Math.floor(code / 100) - 40] ?? "stop";
}

export const isUnread = (state: InboxState): boolean => state === "new" || state === "seen";

/** The states in the order in which a person reaches them: a receipt moves a row forward only. A text, for its size: no word is part of another. */
const ORDER = "new seen snoozed read dismissed";

/** The state after a receipt: the server's table (src/domain/inbox.rs), so that what is shown at once is what comes. */
export function afterReceipt(state: InboxState, said: ReceiptState): InboxState {
  if (said === "unread") return isUnread(state) ? state : "seen";
  if (said === "answered") said = "read";
  // What is not in the order comes before it: `delivered` changes nothing. A screen says `seen` by itself, so it ends no snooze.
  return said === "snoozed" || ORDER.indexOf(said) > ORDER.indexOf(state) ? (said as InboxState) : state;
}

/** The same for a row: a new time of a snooze takes the place of an older one, and the first answer stays. The row itself where nothing changes. */
export function rowAfter<T extends Standing>(row: T, said: Said): T {
  const state = afterReceipt(row.state, said.state);
  const until = state === "snoozed" ? said.until ?? row.until : undefined;
  const answer = row.answer ?? (said.action === undefined ? undefined : { action: said.action });
  return state === row.state && until === row.until && answer === row.answer ? row : { ...row, state, until, answer };
}
