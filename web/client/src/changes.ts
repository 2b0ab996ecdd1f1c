/**
 * What frames and pages do to the session: rows, the place to resume from, and what is missing.
 *
 * The server sends changes in the order of their numbers. Where a number is skipped outside of a replay, or a ping is
 * ahead of us, the inbox is fetched back to the last number that is known to be complete, once for all that is missing.
 * Where rows were deleted since, it is fetched as far as we have any, and those go that are not there any more.
 */
import { counted, empty, reached, take, takePage } from "./inbox.ts";
import type { AlertFrame, HelloFrame, Page, Place, ReceiptFrame, Row, ServerFrame } from "./protocol.ts";
import { grouped, say } from "./receipts.ts";
import type { Link, State, Step } from "./state.ts";

/** How long a missing change may still come by itself, and over which time clients spread their fetches. */
const HEAL_WAIT_MS = 400;
/** The wait after a fetch that failed. */
const FETCH_RETRY_MS = 3_000;
/** Whatever a server says, it is not asked for signs of life more often. */
const HEARTBEAT_MIN_MS = 100;
/** Pages fetched back at the most; what is older is dropped and paged in again when asked for. */
const HEAL_PAGES_MAX = 5;

type Change = AlertFrame | ReceiptFrame;

export function takeFrames(
  c: Step,
  link: Link,
  frames: readonly ServerFrame[],
  greeted: (c: Step, link: Link) => void,
): void {
  const { s } = c;
  let changes: Change[] = [];
  const flush = () => {
    if (changes.length) takeChanges(c, changes);
    changes = [];
  };
  for (const frame of frames) {
    switch (frame.type) {
      case "hello": greeted(c, link); welcome(c, link, frame); break;
      case "alert":
      case "receipt": changes.push(frame); placed(c, link, frame); break;
      case "ping":
        if (link.transport === "ws") c.out.push({ do: "send", link: link.id, frame: { type: "pong", seq: frame.seq } });
        if (link.held && frame.seq >= link.held.seq) completed(s, link);
        if (frame.seq > tip(s, link)) miss(c);
        break;
      case "resync":
        flush();
        // A poll has no greeting that would say that its cursor was of another history.
        if (link.transport === "poll") { startOver(c, frame); break; }
        s.inbox = counted(s.inbox, frame);
        link.replayTo = Math.max(link.replayTo, frame.seq);
        if (frame.seq > s.inbox.seq) miss(c, 0);
        break;
      case "goaway": if (link.id === s.current?.id) s.moveAt = c.now + frame.after_ms + c.random() * frame.within_ms; break;
      case "event":
      case "snapshot": c.out.push({ do: "topic", frame }); break;
      case "error": c.out.push({ do: "refused", title: frame.title }); break;
    }
  }
  flush();
}

function welcome(c: Step, link: Link, hello: HelloFrame): void {
  const { s } = c;
  Object.assign(s, { user: hello.user, clockMs: Date.parse(hello.server_time) - c.now || null, heartbeatMs: Math.max(HEARTBEAT_MIN_MS, hello.heartbeat_ms) });
  if (hello.resumed) {
    link.replayTo = hello.seq;
    s.inbox = counted(s.inbox, hello);
    if (s.inbox.loaded) Object.assign(s, { need: null, ahead: null }); // The replay begins where something was missing.
    else miss(c, 0);
    return;
  }
  startOver(c, hello);
}

/** From the head, or of another history: what is known may be wrong, what this person said is not. */
function startOver(c: Step, { seq, cursor, unread }: Place): void {
  const { s } = c;
  s.inbox = { ...empty, pending: s.inbox.pending, seq, cursor, top: seq, unread };
  Object.assign(s, { need: null, fetch: null, ahead: null });
  miss(c, 0);
}

function takeChanges(c: Step, changes: readonly Change[]): void {
  const { inbox, news } = take(c.s.inbox, changes);
  c.s.inbox = inbox;
  announce(c, news);
}

/** The person is shown what is new, and the server is told that it came: a hint for the timeline. */
function announce(c: Step, rows: Row[]): void {
  if (!rows.length) return;
  c.out.push({ do: "news", rows });
  const [alerts] = grouped(rows.filter((row) => row.state === "new").map((row) => row.alert.id));
  if (alerts) say(c, { op: "delivered", alerts, state: "delivered" });
}

/** Moves the place to resume from, or notes that something before this frame is missing. */
function placed(c: Step, link: Link, frame: Change): void {
  const { s } = c;
  const { seq, cursor } = frame;
  const isNext = seq <= tip(s, link) + 1 || link.transport === "poll";
  if (!isNext) miss(c);
  // A page that is on its way may show the row as it was before this receipt.
  if ((s.fetch || s.paging) && frame.type === "receipt" && !frame.alerts.every((id) => s.inbox.rows.has(id))) miss(c, 0);
  if (s.need || s.fetch) {
    const run = s.ahead;
    if (!run || seq > run.seq) s.ahead = { from: run && seq === run.seq + 1 ? run.from : seq, seq, cursor };
    return;
  }
  if (link.held && seq > link.held.seq) completed(s, link);
  if (frame.type === "alert") link.held = frame;
  else s.inbox = reached(s.inbox, frame);
}

function completed(s: State, link: Link): void {
  if (link.held && !s.need && !s.fetch) s.inbox = reached(s.inbox, link.held);
  link.held = null;
}

/** The number up to which this connection has given us everything. */
function tip(s: State, link: Link): number {
  const ahead = s.need || s.fetch ? (s.ahead?.seq ?? 0) : 0;
  return Math.max(s.inbox.seq, link.held?.seq ?? 0, link.replayTo, ahead);
}

function miss(c: Step, waitMs = HEAL_WAIT_MS * (0.5 + c.random() / 2)): void {
  const { s } = c;
  const at = Math.min(s.need?.at ?? Infinity, c.now + waitMs);
  s.need = { from: s.inbox.seq, at };
}

export function fetchMissing(c: Step): void {
  const { s } = c;
  if (!s.need || s.fetch || !s.current || c.now < s.need.at) return;
  s.fetch = { ...s.need, pages: [] };
  s.need = null;
  c.out.push({ do: "fetch", before: null, more: false });
}

export function pageTaken(c: Step, page: Page, more: boolean): void {
  const { s } = c;
  if (more) {
    s.paging = false;
    s.inbox = { ...takePage(s.inbox, page).inbox, nextBefore: page.next_before };
    return;
  }
  const { fetch } = s;
  if (!fetch) return; // A greeting in between made it pointless.
  const pages = [...fetch.pages, page];
  const head = pages[0] ?? page;
  const wasLoaded = s.inbox.loaded;
  const { inbox, news } = takePage(s.inbox, page);
  s.inbox = inbox;
  announce(c, news);
  const lowest = page.alerts.at(-1)?.seq ?? 0;
  const hasDeleted = head.deleted_to > inbox.deletedTo;
  const isBack = page.next_before === null || lowest <= (hasDeleted ? Number(inbox.nextBefore) : fetch.from);
  if (!isBack && pages.length < HEAL_PAGES_MAX && wasLoaded) {
    s.fetch = { ...fetch, pages };
    c.out.push({ do: "fetch", before: page.next_before, more: false });
    return;
  }
  // Rows that may have changed unnoticed go, and those that would have been found if they were there.
  if (!isBack || !wasLoaded || hasDeleted) {
    const rows = [...inbox.rows].filter(([id, { seq }]) => seq >= lowest && (seq > head.seq || pages.some(({ alerts }) => alerts.some((one) => one.alert.id === id))));
    s.inbox = { ...s.inbox, rows: new Map(rows), nextBefore: page.next_before, deletedTo: head.deleted_to };
  }
  s.fetch = null;
  s.inbox = reached(s.inbox, head);
  if (s.need) s.need = { ...s.need, from: s.inbox.seq };
  else if (s.ahead && s.ahead.from <= s.inbox.seq + 1) s.inbox = reached(s.inbox, s.ahead);
  if (!s.need) s.ahead = null;
}

export function pageFailed(c: Step, more: boolean): void {
  const { s } = c;
  if (more) s.paging = false;
  else if (s.fetch) {
    s.need = { ...s.fetch, at: c.now + FETCH_RETRY_MS };
    s.fetch = null;
  }
}
