/** What the machine in machine.ts holds, hears and asks for. */
import type { Backoff } from "./backoff.ts";
import { type Inbox, empty } from "./inbox.ts";
import type * as living from "./living.ts";
import type {
  ClientFrame, Page, PageStart, ReceiptFrame, Said, Row, TopicFrame, Transport, Visibility,
} from "./protocol.ts";

/** One connection, from its dial to its end. */
export interface Link {
  id: number;
  transport: Transport;
  /** When it was dialed, or last gave a sign of life. */
  heardAt: number;
  /** When it was asked for a sign of life that has not come. */
  probedAt: number | null;
  /** Whether the server greeted us: until then it is not believed. */
  greeted: boolean;
  /** Frames up to here are a replay, whose numbers may jump. */
  replayTo: number;
  /** The last alert's number: complete when something later comes, because alerts of one receipt share a number. */
  held: { seq: number; cursor: string } | null;
  /** What the server was told on it. */
  topics: readonly string[];
  visibility: Visibility;
}

export type Ended =
  | { why: "refused"; code: number; reason: string }
  | { why: "signed-out" }
  | { why: "gave-up" };

/** What stands between us and the server, as far as the last dials could tell. */
export type Trouble = "unreachable" | "origin" | "blocked";

/**
 * Why it is not live: nobody is signed in, the page's origin is not allowed, the server closed for good, the dials are used
 * up, the browser is offline, the server does not answer, or what answers is not our server.
 */
export type Reason = "signed-out" | "origin" | "refused" | "gave-up" | "offline" | "unreachable" | "blocked";

/** What the indicator shows. */
export type Status = "idle" | "connecting" | "live" | "reconnecting" | "offline" | "closed";

export interface State {
  /** Followers hold no connection: the leader among the tabs tells them. */
  role: "solo" | "leader" | "follower";
  wanted: boolean;
  ended: Ended | null;
  online: boolean;
  visibility: Visibility;

  token: string | null;
  /** The token was asked for, and may take until then. */
  askUntil: number | null;
  /** The next token has to be a new one. */
  stale: boolean;
  refreshAt: number | null;
  /** The token that this was planned for. */
  renewsFor: string | null;
  /** The server's clock, as its distance from ours; null: not known. */
  clockMs: number | null;
  /** Nobody was signed in: asked again from then on. */
  askAt: number;

  /** The connection that is believed, and one that is about to take its place. */
  current: Link | null;
  next: Link | null;
  links: number;
  attempt: number;
  /** When the last connection was greeted; 0: none was yet. */
  aliveSince: number;
  retryAt: number | null;
  /** When to move, because the server said goaway or the token changed. */
  moveAt: number | null;
  /** Index into the transports: of the next dial, and of what worked last. */
  tier: number;
  home: number;
  climbAt: number | null;
  climbs: number;
  heartbeatMs: number;
  trouble: Trouble | null;
  /** When the last messages went out, oldest first. */
  said: readonly number[];

  inbox: Inbox;
  /** Changes after `from` are missing; fetched from the inbox at `at`. */
  need: { from: number; at: number } | null;
  /** The fetch under way, with the pages that came. */
  fetch: { from: number; pages: readonly Page[] } | null;
  /** Numbers without holes among themselves that came while something before them was missing. */
  ahead: { from: number; seq: number; cursor: string } | null;
  paging: boolean;

  topics: readonly string[];
  user: string | null;
  /** A follower shows what its leader says. */
  remote: { status: Status; reason: Reason | null; transport: Transport | null } | null;
}

/** What a connection tells. */
export type WireEvent =
  /** Resumed without a greeting of its own. */
  | { kind: "open" }
  /** Whatever came. Nothing: a sign of life, such as the answer to a ping. */
  | { kind: "frames"; frames: readonly unknown[] }
  | { kind: "ended"; code: number; reason?: string; waitMs?: number; trouble?: Trouble };

export type Event =
  /** `woke`: the computer slept, or its clock was set. `leave`: the page goes. */
  | { kind: "start" | "stop" | "tick" | "online" | "offline" | "more" | "retry" | "sign-in" | "woke" | "leave" }
  | { kind: "visibility"; visibility: Visibility }
  | { kind: "role"; role: State["role"] }
  | { kind: "token"; token: string | null }
  | { kind: "token-failed" }
  | (WireEvent & { link: number })
  | { kind: "page"; more: boolean; page: Page }
  | { kind: "page-failed"; more: boolean }
  | ({ kind: "say"; op: string; alerts: string[] } & Said)
  | { kind: "posted"; frame: ReceiptFrame }
  | { kind: "post-failed"; op: string; refused: boolean }
  | { kind: "topics"; topics: readonly string[] }
  | { kind: "told"; inbox: Inbox; status: Status; reason: Reason | null; transport: Transport | null; user: string | null };

export type Effect =
  | { do: "dial"; link: number; transport: Transport; token: string; cursor: string | null; topics: readonly string[]; visibility: Visibility }
  | { do: "hang-up" | "probe"; link: number }
  | { do: "send"; link: number; frame: ClientFrame }
  /** `keepalive`: it outlives the page. */
  | ({ do: "post"; op: string; alerts: string[]; keepalive?: boolean } & Said)
  | { do: "ask-token"; fresh: boolean }
  | { do: "fetch"; before: PageStart | null; more: boolean }
  | { do: "news"; rows: Row[] }
  | { do: "topic"; frame: TopicFrame }
  /** What came is none of the frames that it says it is. */
  | { do: "malformed" }
  | { do: "refused"; title: string };

/** The part that is loaded once there is a connection. */
export type Living = typeof living;

/** Time and chance, as arguments. */
export interface Env {
  /** Milliseconds by a clock that only runs forward. */
  now: number;
  random: () => number;
  living: Living | null;
  transports: readonly Transport[];
  backoff: Backoff;
}

/** One step in the making: the state is its own copy, the effects gather. */
export interface Step extends Env {
  s: State;
  out: Effect[];
}

export const initial: State = {
  role: "solo", wanted: false, ended: null, online: true, visibility: "visible",
  token: null, askUntil: null, stale: false, refreshAt: null, renewsFor: null, clockMs: null, askAt: 0,
  current: null, next: null, links: 0, attempt: 0, aliveSince: 0, retryAt: null, moveAt: null,
  tier: 0, home: 0, climbAt: null, climbs: 0, heartbeatMs: 30_000, trouble: null, said: [],
  inbox: empty, need: null, fetch: null, ahead: null, paging: false,
  topics: [], user: null, remote: null,
};

/** Dials that failed before the indicator says offline. */
const OFFLINE_AFTER = 3;

export function status(s: State): Status {
  if (s.wanted && s.role === "follower") return s.remote?.status ?? "connecting";
  if (s.ended) return "closed";
  if (!s.wanted) return "idle";
  if (s.current && (s.online || s.current.probedAt === null)) return "live";
  if (!s.current && (!s.online || s.attempt > OFFLINE_AFTER)) return "offline";
  return s.aliveSince ? "reconnecting" : "connecting";
}

/** Why it is not live; null where it is, or where nothing is known to be wrong. */
export function reason(s: State): Reason | null {
  if (s.wanted && s.role === "follower") return s.remote?.reason ?? null;
  if (s.ended) return s.ended.why;
  if (!s.wanted || status(s) === "live") return null;
  return s.online ? s.trouble : "offline";
}
