/**
 * Finding alerts: tabs, filters and search. Loaded when it is first used.
 *
 * The server searches everything (`GET /v1/inbox?q=&state=&category=&severity=&label=`), page by page. The same question is
 * asked of every row here, so what is new or was just read shows or goes at once, and a server that does not know the
 * question is no harm.
 */
import { type Row, type Watchbell, isUnread } from "@watchbell/client";
import type { ShownRow } from "./alert.ts";
import type { Tab } from "./standing.ts";

/** Pages that one press of "Show older" asks for at the most: a page of a search may be short, or empty. */
const PAGES_MAX = 5;
const PAGE_ROWS = 50;
/** How long typing rests before the server is asked. */
const REST_MS = 250;
/** Rows of one question that are kept. */
const ROWS_MAX = 20_000;

export interface Question {
  tab: Tab;
  q: string;
  severity: string;
  category: string;
  /** `name:value`. */
  label: string;
}

export const isFiltered = ({ q, severity, category, label }: Question): boolean => Boolean(q.trim() || severity || category || label.trim());

/** The question as the server takes it. */
export function queryOf({ tab, q, severity, category, label }: Question, before: string | number | null): string {
  const state = { all: "open", unread: "unread", archived: "archived" }[tab];
  const asked = { q: q.trim(), state, severity, category, label: label.includes(":") ? label.trim() : "", before: before === null ? "" : String(before), limit: String(PAGE_ROWS) };
  return new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
}

/** Letters without their marks and case: "Café" is found by "cafe". */
export const plain = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Whether a row is of what is asked for, as the server judges it. */
export function matches(row: ShownRow, { tab, q, severity, category, label }: Question): boolean {
  const { alert, state } = row;
  const inTab = tab === "archived" ? state === "dismissed" : tab === "unread" ? isUnread(state) : state !== "dismissed" && state !== "snoozed";
  if (!inTab || (severity && alert.severity !== severity) || (category && alert.category !== category)) return false;
  const [name = "", ...value] = label.trim().split(":");
  if (value.length && alert.labels?.[name] !== value.join(":")) return false;
  const words = plain(q).split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const text = plain([alert.title, alert.body, alert.source, alert.category].join(" ")).split(/[^\p{L}\p{N}]+/u);
  return words.every((word) => word.split(/[^\p{L}\p{N}]+/u).filter(Boolean).every((part) => text.some((one) => one.startsWith(part))));
}

export class Finding {
  #question: Question = { tab: "all", q: "", severity: "", category: "", label: "" };
  #found = new Map<string, ShownRow>();
  #before: string | number | null = null;
  /** Counts questions: an answer to one that was asked before is dropped. */
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  isLoading = false;
  failed = "";

  constructor(readonly client: Watchbell, readonly changed: () => void) {}

  get question(): Question {
    return this.#question;
  }
  get isFiltered(): boolean {
    return isFiltered(this.#question);
  }
  get hasMore(): boolean {
    return this.#before !== null && !this.isLoading;
  }

  ask(question: Partial<Question>, restMs = 0): void {
    this.#question = { ...this.#question, ...question };
    this.#found = new Map();
    this.#before = null;
    this.#asked += 1;
    clearTimeout(this.#timer);
    this.isLoading = this.#isServers;
    if (this.#isServers) this.#timer = setTimeout(() => void this.#page(), restMs);
    this.changed();
  }

  /** What the person types is asked for when it rests. */
  type(q: string): void {
    this.ask({ q }, REST_MS);
  }

  more(): void {
    if (this.hasMore) void this.#page();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#asked += 1;
  }

  /** All that is shown, newest first: what the server found, and what is here. */
  rows(here: readonly Row[]): ShownRow[] {
    const rows = new Map(this.#found);
    for (const row of here) rows.set(row.alert.id, row);
    const newest = [...rows.values()].filter((row) => matches(row, this.#question));
    // What is here is sorted already; only what was found beside it has to be put in.
    return rows.size === here.length ? newest : newest.map((row) => ({ row, at: Date.parse(row.alert.occurred_at) })).sort((a, b) => b.at - a.at).map(({ row }) => row);
  }

  /** A row that was found by the server and is not among those that the session holds. */
  row(id: string): ShownRow | undefined {
    return this.#found.get(id);
  }

  /** What the person did with rows that the session does not hold. */
  did(ids: readonly string[], state: Row["state"]): void {
    for (const id of ids) {
      const row = this.#found.get(id);
      if (row) this.#found.set(id, { ...row, state });
    }
  }

  /** Everything that is open and of no filter is what the session holds itself. */
  get #isServers(): boolean {
    return this.#question.tab !== "all" || isFiltered(this.#question);
  }

  async #page(): Promise<void> {
    const nth = this.#asked;
    this.isLoading = true;
    this.failed = "";
    try {
      for (let pages = 0, found = 0; pages < PAGES_MAX && found < PAGE_ROWS && this.#found.size < ROWS_MAX; pages++) {
        const page = await this.client.request<{ alerts: ShownRow[]; next_before: string | number | null }>("GET", `/v1/inbox?${queryOf(this.#question, this.#before)}`, undefined, { alerts: [] });
        if (nth !== this.#asked) return;
        for (const row of page.alerts) {
          if (matches(row, this.#question)) found += 1;
          this.#found.set(row.alert.id, row);
        }
        this.#before = page.next_before;
        if (this.#before === null) break;
        this.changed();
      }
    } catch (error) {
      if (nth !== this.#asked) return;
      this.failed = String((error as Error).message);
    }
    this.isLoading = false;
    this.changed();
  }
}
