/** What the person said, waiting for the server to have it. It goes out by sending.ts. */
import { PENDING_MAX, type Pending } from "./inbox.ts";
import type { Step } from "./state.ts";

/**
 * Names in one message, and their length as JSON: the server charges a receipt as one message up to 50 alerts and 4 KiB
 * (workers/socket/src/session/unheard.rs). It ends a session for a message of 16 KiB, and a character has up to 3 bytes; the
 * first message also holds the token, of up to 8 KiB.
 */
const NAMES_MAX = 50;
const CHARS_MAX = 2_500;
/** Hints that may wait. */
const HINTS_WAITING_MAX = 100;

/** Whether one receipt may name all of these. */
export const fits = (alerts: readonly string[]): boolean => alerts.length <= NAMES_MAX && JSON.stringify(alerts).length <= CHARS_MAX;

/** In groups that one message may name. */
export function grouped(alerts: readonly string[]): string[][] {
  const groups: string[][] = [];
  for (const id of new Set(alerts)) {
    const last = groups.at(-1);
    if (last && fits([...last, id])) last.push(id);
    else groups.push([id]);
  }
  return groups;
}

/** Whether there was room. */
export function say({ s }: Step, said: Pick<Pending, "op" | "alerts" | "state" | "until" | "action">): boolean {
  const { pending } = s.inbox;
  const hasRoom = pending.length < (said.state === "delivered" ? HINTS_WAITING_MAX : PENDING_MAX);
  if (hasRoom) s.inbox = { ...s.inbox, pending: [...pending, { ...said, sentAt: null, sentAs: "" }] };
  return hasRoom;
}
