/**
 * A list of one's own: the alerts that a query finds, page by page from `GET /v1/inbox`, kept true by the session.
 *
 * What holds here:
 * - A row is shown as whoever knows more of it has it, the page or the session, so what the person does shows at once and
 *   what comes later joins the list, if it belongs there.
 * - A row that only the session has joins only down to where pages were fetched, so no gap is hidden in the middle.
 * - Nothing is asked while nobody subscribes. Of two answers, only the one that was asked for last counts.
 */
import type { Watchbell } from "./client.ts";
import { type Alert, type Page, type PageStart, type Row, type Said, isUnread, rowAfter } from "./protocol.ts";

/** What belongs to the list. All of it is optional, and all that is given has to hold. */
export interface ListQuery {
  /** Words, each at the beginning of a word in title, body, source or category. Case and accents do not matter. */
  q?: string;
  /** `unread`: new and seen; `open`: neither dismissed nor snoozed; `archived`: dismissed. */
  state?: "unread" | "open" | "archived" | "snoozed";
  category?: readonly string[];
  severity?: readonly Alert["severity"][];
  label?: Readonly<Record<string, string>>;
  /** A `group_key`. */
  group?: string;
  /** Rows of a page, from 1 to {@link PAGE_ROWS_MAX}; anything else is taken for the nearest of them. */
  limit?: number;
}

export interface ListSnapshot {
  /** Newest first. */
  rows: readonly Row[];
  /** Whether a page is being asked for. */
  loading: boolean;
  /** Why the last page did not come; null when it did. It is asked for again when the session is live again. */
  error: Error | null;
  hasMore: boolean;
}

export interface InboxList {
  /** What is known. The same object until something changes. */
  readonly snapshot: ListSnapshot;
  /** Calls back after each change, and asks for the first page. Answers how to stop. */
  subscribe(changed: () => void): () => void;
  /** Asks for the next older page that has something in it. */
  more(): Promise<void>;
  /** Asks for the first page again. */
  refresh(): Promise<void>;
  /** `client.say`, which also shows at once in rows that the session does not hold. */
  say: Watchbell["say"];
}

/** What a list needs of the session. */
export type ListClient = Pick<Watchbell, "snapshot" | "subscribe" | "on" | "say" | "request">;

/** Requests for one `more()`: a page may have nothing in it, and say that more follow. */
export const REQUESTS_MAX = 10;
/** Rows of a page at the most: the server refuses more, and less than one. */
export const PAGE_ROWS_MAX = 200;
/** Rows that are paged in, after which there is no more: a query is the way to what is further down. */
export const PAGED_ROWS_MAX = 10_000;

export function listInbox(client: ListClient, query: ListQuery = {}): InboxList {
  const listeners = new Set<() => void>();
  let pages = new Map<string, Row>();
  const said = new Map<string, Said & { seq: number }>();
  let next: PageStart | null = null;
  /** Every row whose last change is this one or later is here. */
  let reach = Infinity;
  let nth = 0;
  let loading = false;
  let error: Error | null = null;
  let { user, status } = client.snapshot;
  let shown: ListSnapshot | null = null;
  let stops: (() => void)[] = [];

  const tell = () => {
    shown = null;
    for (const changed of [...listeners]) changed();
  };

  const hasMore = () => next !== null && pages.size < PAGED_ROWS_MAX;

  const ask = async (isFirst: boolean): Promise<void> => {
    const mine = ++nth;
    loading = true;
    tell();
    try {
      let before = isFirst ? null : next;
      for (let asked = 0; asked < REQUESTS_MAX; asked++) {
        const page = await client.request<Page>("GET", `/v1/inbox${search(query, before)}`);
        if (mine !== nth) return;
        if (isFirst && !asked) pages = new Map();
        for (const row of page.alerts) pages.set(row.alert.id, row);
        for (const [id, { seq }] of said) if (seq !== pages.get(id)?.seq) said.delete(id);
        before = next = page.next_before;
        reach = next === null ? 0 : parseInt(String(next));
        if (next === null || page.alerts.some((row) => belongs(row, query))) break;
      }
      error = null;
    } catch (failure) {
      if (mine !== nth) return;
      error = failure as Error;
    }
    loading = false;
    tell();
  };

  const rows = (): Row[] => {
    const all = new Map<string, Row>();
    for (const [id, row] of pages) {
      const mine = said.get(id);
      all.set(id, mine && mine.seq >= row.seq ? rowAfter(row, mine) : row);
    }
    for (const row of client.snapshot.alerts) {
      const paged = pages.get(row.alert.id);
      if (row.seq >= (paged ? paged.seq : reach)) all.set(row.alert.id, row);
    }
    return [...all.values()].filter((row) => belongs(row, query)).sort(newestFirst);
  };

  const changed = () => {
    const before = { user, status };
    ({ user, status } = client.snapshot);
    // Of somebody else nothing may stay, not even until the first page comes.
    if (before.user !== null && user !== before.user) {
      pages = new Map();
      said.clear();
      [next, reach] = [null, Infinity];
      void ask(true);
    } else if (error && status === "live" && before.status !== "live") void ask(true);
    tell();
  };

  return {
    get snapshot() {
      return (shown ??= { rows: rows(), loading, error, hasMore: hasMore() });
    },
    subscribe(listener) {
      listeners.add(listener);
      if (listeners.size === 1) {
        const refused = () => {
          said.clear();
          void ask(true);
        };
        stops = [client.subscribe(changed), client.on("refused", refused)];
        shown = null;
        if (!loading) void ask(true);
      }
      return () => {
        if (!listeners.delete(listener) || listeners.size) return;
        for (const stop of stops.splice(0)) stop();
      };
    },
    more: async () => {
      if (!loading && hasMore()) await ask(false);
    },
    refresh: () => ask(true),
    say(...[alerts, state, more]: Parameters<Watchbell["say"]>) {
      const until = more instanceof Date ? more.toISOString() : undefined;
      for (const id of alerts) {
        const paged = pages.get(id);
        if (paged) said.set(id, { state, until, seq: paged.seq });
      }
      client.say(alerts, state, more);
      tell();
    },
  };
}

/** What a person can do with alerts, by name, as hooks and stores offer it. */
export interface Acts {
  seen(...ids: string[]): void;
  read(...ids: string[]): void;
  dismiss(...ids: string[]): void;
  unread(...ids: string[]): void;
  snooze(until: Date, ...ids: string[]): void;
  /** Anything else that a receipt can say. */
  say: Watchbell["say"];
}

export function acts(say: Watchbell["say"]): Acts {
  const as = (state: "seen" | "read" | "dismissed" | "unread") => (...ids: string[]) => say(ids, state);
  return { seen: as("seen"), read: as("read"), dismiss: as("dismissed"), unread: as("unread"), snooze: (until, ...ids) => say(ids, "snoozed", until), say };
}

/** Whether a row belongs to the list, as the server decides it. */
export function belongs({ alert, state }: Row, query: ListQuery): boolean {
  const { severity, category, label = {}, group } = query;
  const isIn = {
    unread: isUnread(state), open: state !== "dismissed" && state !== "snoozed", archived: state === "dismissed", snoozed: state === "snoozed",
  };
  if (query.state && !isIn[query.state]) return false;
  if (severity?.length && !severity.includes(alert.severity)) return false;
  if (category?.length && !category.includes(alert.category ?? "")) return false;
  if (group !== undefined && (alert as { group_key?: string }).group_key !== group) return false;
  if (Object.entries(label).some(([name, value]) => alert.labels?.[name] !== value)) return false;
  const text = words([alert.title, alert.body, alert.source, alert.category].join(" "));
  return words(query.q ?? "").split(" ").every((word) => text.includes(` ${word}`));
}

/** The words of a text, without case and accents, each after a space. */
const words = (text: string): string =>
  ` ${text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim()}`;

function search({ category, severity, label, limit, ...rest }: ListQuery, before: PageStart | null): string {
  const labels = Object.entries(label ?? {}).map(([name, value]) => `${name}:${value}`);
  const rows = limit === undefined ? undefined : Math.min(Math.max(Math.trunc(limit) || 1, 1), PAGE_ROWS_MAX);
  const all = { ...rest, limit: rows, category: category?.join(), severity: severity?.join(), label: labels.join(), before };
  const given = Object.entries(all).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

function newestFirst(a: Row, b: Row): number {
  return Date.parse(b.alert.occurred_at) - Date.parse(a.alert.occurred_at) || (a.alert.id < b.alert.id ? 1 : -1);
}
