/**
 * Many tabs, one connection. A Web Lock makes one tab the leader for as long as it lives, so a dead leader is replaced
 * at once; a BroadcastChannel carries what it knows to the others. Where either is missing, every tab is on its own.
 */
import type { Inbox } from "./inbox.ts";
import type { Said, Row, TopicFrame, Transport, Visibility } from "./protocol.ts";
import type { Status } from "./state.ts";

export type Message =
  /** A tab is here: asks the leader for everything, and tells it what it wants. Repeated when that changes. */
  | { kind: "join"; tab: string; visibility: Visibility; topics: readonly string[]; asks: boolean }
  | { kind: "leave"; tab: string }
  /** A new leader asks who is here. */
  | { kind: "who" }
  | ({ kind: "say"; op: string; alerts: string[] } & Said)
  | { kind: "more" }
  /**
   * What the leader knows: `rows` are those that changed since the last one, all of them when `whole`. `heard` answers one
   * `say`: the leader has it from now on, also where it changed nothing and so does not wait.
   */
  | { kind: "told"; leader: string; whole: boolean; rows: Row[]; heard: string; inbox: Omit<Inbox, "rows">; status: Status; transport: Transport | null; user: string | null }
  /** New alerts; the tab `to` shows them. */
  | { kind: "news"; rows: Row[]; to: string }
  | { kind: "topic"; frame: TopicFrame };

export interface Tabs {
  post(message: Message): void;
  leave(): void;
}

/** Joins the tabs of this name, or answers null when this browser cannot. */
export function joinTabs(name: string, hear: (message: Message) => void, lead: () => void): Tabs | null {
  if (typeof BroadcastChannel === "undefined" || !navigator.locks) return null;
  const channel = new BroadcastChannel(name);
  const leave = new AbortController();
  const left = new Promise<void>((resolve) => leave.signal.addEventListener("abort", () => resolve()));
  channel.onmessage = ({ data }) => hear(data as Message);
  navigator.locks
    .request(name, { signal: leave.signal }, () => {
      if (!leave.signal.aborted) lead();
      return left;
    })
    .catch((error: unknown) => { if (!leave.signal.aborted) console.warn("Watchbell: this tab cannot lead.", error); });
  return {
    post: (message) => channel.postMessage(message),
    leave: () => { leave.abort(); channel.close(); },
  };
}
