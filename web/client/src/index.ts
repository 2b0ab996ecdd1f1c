/** @watchbell/client: a session with Watchbell. `new Watchbell({ token }).start()` is all it takes. */
export { Watchbell, type Events, type Options, type SharedValue, type Snapshot } from "./client.ts";
export { type Backoff, fullJitter, steps, tenAttempts } from "./backoff.ts";
export { HttpError } from "./api.ts";
export type { Ended, Reason, Status } from "./state.ts";
export {
  type Alert, type Answer, type InboxState, type ReceiptState, type Row, type TopicEvent, type TopicFrame, type Transport, isUnread,
} from "./protocol.ts";
