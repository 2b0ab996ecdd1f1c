/** What a session needs once it lives, and not before: loaded with its first connection. */
import { planRenewal } from "./renewal.ts";
import { sendDue } from "./sending.ts";
import type { Step } from "./state.ts";
import { tidied } from "./tidy.ts";

export { flush, nextAt, post, refused } from "./sending.ts";
export { unreadNames } from "./read-all.ts";

/** What is due on a connection that lives. */
export function live(c: Step): void {
  // What changed nothing is not answered, and must not be said again after something else was said of the alert.
  c.s.inbox = tidied(c.s.inbox);
  planRenewal(c);
  sendDue(c);
}
