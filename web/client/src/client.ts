/**
 * The session in a browser: carries out what the machine asks for, and tells the machine what happens.
 * Nothing is decided here. Nothing is dialed before `start`.
 */
import { type HttpError, request } from "./api.ts";
import { type Backoff, fullJitter } from "./backoff.ts";
import { type Inbox, view } from "./inbox.ts";
import { step, wakeAt } from "./machine.ts";
import { type Page, type PageStart, type ReceiptState, RECEIPT_ALERTS_MAX, type Row, type TopicFrame, type Transport, isUnread } from "./protocol.ts";
import { type Effect, type Ended, type Event, type State, type Status, initial, status } from "./state.ts";
import { type Message, type Tabs, joinTabs } from "./tabs.ts";
import { type Wire, dialWire } from "./wire.ts";

export interface Options {
  /** The server's address; the page's own when absent. */
  url?: string;
  /** The token of whoever is signed in, null when nobody is. `fresh`: the last one is over, get a new one. */
  token: (ask: { fresh: boolean }) => string | null | Promise<string | null>;
  /** Tried in this order; a better one is tried again from time to time. */
  transports?: readonly Transport[];
  backoff?: Backoff;
  /** Tabs that give the same name share one connection. It must name the user. False: every tab for itself. */
  tabs?: string | false;
  topics?: readonly string[];
}

export interface Snapshot {
  status: Status;
  transport: Transport | null;
  ended: Ended | null;
  user: string | null;
  unread: number;
  /** Receipts that the server is not known to have written: what is shown already, but not saved yet. */
  waiting: number;
  /** Newest first. */
  alerts: readonly Row[];
  loaded: boolean;
  hasMore: boolean;
  /** Whether this tab holds the connection. */
  leads: boolean;
}

export interface Events {
  /** An alert is new, or new again. `here`: this tab is the one to show a toast. */
  alert: { row: Row; here: boolean };
  topic: TopicFrame;
  /** The server did not take something. */
  refused: { title: string };
}

/** Below the longest delay a timer takes, which is 2 ** 31 - 1. */
const TIMER_MAX_MS = 1e9;

export class Watchbell {
  readonly #options: Options;
  readonly #url: string;
  /** By chance alone: what makes better ones is missing on a page that came over plain HTTP. */
  readonly #id = Math.random().toString(36).slice(2);
  readonly #wires = new Map<number, Wire>();
  readonly #changed = new Set<() => void>();
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #topics = new Map<string, number>();
  readonly #others = new Map<string, { visibleAt: number; topics: readonly string[] }>();
  readonly #mine = new Set<string>();
  readonly #queue: Event[] = [];
  #state: State = initial;
  #snapshot: Snapshot | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tabs: Tabs | null = null;
  #leader = "";
  #toldRows: Inbox["rows"] = new Map();
  #ops = 0;
  #fetches = 0;
  #stop: AbortController | null = null;

  constructor(options: Options) {
    this.#options = options;
    this.#url = (options.url ?? location.origin).replace(/\/$/, "");
    for (const topic of options.topics ?? []) this.#topics.set(topic, 1);
  }

  /** Signs in: dials, or joins the tab that has. */
  start(): void {
    if (this.#stop) return this.#hear({ kind: "start" });
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const on = (target: EventTarget, name: string, heard: (event: globalThis.Event) => void) => target.addEventListener(name, heard, { signal });
    on(window, "online", () => this.#hear({ kind: "online" }));
    on(window, "offline", () => this.#hear({ kind: "offline" }));
    on(document, "visibilitychange", () => this.#visibility());
    // A page that is kept for the back button must not keep the others waiting.
    on(window, "pagehide", () => this.#leave());
    on(window, "pageshow", (event) => (event as PageTransitionEvent).persisted && this.#join());
    this.#join();
    this.#visibility();
    this.#hear({ kind: "start" });
  }

  /** Signs out: hangs up. What was known stays readable. */
  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.#hear({ kind: "stop" });
    this.#leave();
  }

  /** What is known. The same object until something changes. */
  get snapshot(): Snapshot {
    const s = this.#state;
    return (this.#snapshot ??= {
      ...view(s.inbox), status: status(s), transport: (s.remote ?? s.current)?.transport ?? null,
      ended: s.ended, user: s.user, loaded: s.inbox.loaded, hasMore: s.inbox.nextBefore !== null, leads: s.role !== "follower",
    });
  }

  /** Calls back after each change. Answers how to stop. */
  subscribe = (changed: () => void): (() => void) => {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  };

  on<K extends keyof Events>(kind: K, listener: (event: Events[K]) => void): () => void {
    const of = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, of.add(listener as (event: never) => void));
    return () => of.delete(listener as (event: never) => void);
  }

  /**
   * Says what the person did. It shows at once, here and in the other tabs, and is repeated until the server has it.
   * `until` is for `snoozed`: the alerts leave every screen of this person and come back unseen then, at most 30 days from
   * now. `unread` ends that.
   */
  say(alerts: readonly string[], state: ReceiptState, until?: Date): void {
    for (let at = 0; at < alerts.length; at += RECEIPT_ALERTS_MAX) {
      const op = `${this.#id}-${++this.#ops}`;
      const said = { kind: "say" as const, op, alerts: alerts.slice(at, at + RECEIPT_ALERTS_MAX), state, until: until?.toISOString() };
      if (this.#state.role === "follower") {
        this.#mine.add(op);
        this.#tabs?.post(said);
      }
      this.#hear(said);
    }
  }

  /** Marks all that is unread as read, also what was not paged in. */
  async readAll(): Promise<void> {
    const unread = new Set<string>();
    const look = (rows: readonly Row[]) => rows.forEach((row) => isUnread(row.state) && unread.add(row.alert.id));
    look(this.snapshot.alerts);
    let before = this.#state.inbox.nextBefore;
    for (let pages = 0; before !== null && pages < 100 && unread.size < this.snapshot.unread; pages++) {
      const page = await this.#page(before);
      look(page.alerts);
      before = page.next_before;
    }
    if (unread.size) this.say([...unread], "read");
  }

  /** Asks for the next older page. */
  more(): void {
    if (this.#state.role === "follower") this.#tabs?.post({ kind: "more" });
    else this.#hear({ kind: "more" });
  }

  /** Follows a topic. Answers how to stop. */
  topic(name: string, listener: (frame: TopicFrame) => void): () => void {
    this.#topics.set(name, (this.#topics.get(name) ?? 0) + 1);
    this.#tellTopics();
    const off = this.on("topic", (frame) => frame.topic === name && listener(frame));
    return () => {
      off();
      const left = (this.#topics.get(name) ?? 1) - 1;
      if (left) this.#topics.set(name, left);
      else this.#topics.delete(name);
      this.#tellTopics();
    };
  }

  /** Asks the user's HTTP API, such as `/v1/preferences` or `/v1/devices`. A refusal is an `HttpError`. */
  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    // A follower has no connection and so no token yet.
    const token = this.#state.token ?? (await this.#options.token({ fresh: false })) ?? "";
    return request(this.#url + path, token, method, body);
  }

  // ---- The machine.

  /** One event after the other, also when carrying one out is heard at once. */
  #hear(event: Event): void {
    this.#queue.push(event);
    if (this.#queue.length > 1) return;
    for (; this.#queue[0]; this.#queue.shift()) this.#step(this.#queue[0]);
  }

  #step(event: Event): void {
    const before = this.#state;
    const [state, effects] = step(before, event, {
      now: Date.now(), random: Math.random,
      transports: this.#options.transports ?? ["ws", "sse", "poll"], backoff: this.#options.backoff ?? fullJitter,
    });
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
    this.#wake();
    this.#tell();
    if (before.inbox !== state.inbox || status(before) !== status(state) || before.role !== state.role || before.user !== state.user) {
      this.#snapshot = null;
      for (const changed of this.#changed) changed();
    }
  }

  #wake(): void {
    clearTimeout(this.#timer);
    const at = wakeAt(this.#state);
    if (at !== null) this.#timer = setTimeout(() => this.#hear({ kind: "tick" }), Math.min(TIMER_MAX_MS, at - Date.now()));
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case "dial": {
        const { link } = effect;
        this.#wires.set(link, dialWire({ ...effect, url: this.#url }, {
          frames: (frames) => this.#hear({ kind: "frames", link, frames }),
          open: () => this.#hear({ kind: "open", link }),
          ended: (code, reason, waitMs) => this.#hear({ kind: "ended", link, code, reason, waitMs }),
        }));
        return;
      }
      case "hang-up":
        this.#wires.get(effect.link)?.close();
        this.#wires.delete(effect.link);
        return;
      case "send": this.#wires.get(effect.link)?.send(JSON.stringify(effect.frame)); return;
      case "probe": this.#wires.get(effect.link)?.send("ping"); return;
      case "ask-token": void this.#askToken(effect.fresh); return;
      case "fetch": void this.#fetchPage(effect.before, effect.more); return;
      case "post": void this.#post(effect); return;
      case "news": this.#news(effect.rows); return;
      case "topic": this.#share({ kind: "topic", frame: effect.frame }); return;
      case "refused": this.#emit("refused", { title: effect.title });
    }
  }

  async #askToken(fresh: boolean): Promise<void> {
    try {
      const token = await this.#options.token({ fresh });
      this.#hear({ kind: "token", token, expiresAt: token ? expiry(token) : null });
    } catch {
      this.#hear({ kind: "token-failed" });
    }
  }

  async #fetchPage(before: PageStart | null, more: boolean): Promise<void> {
    const nth = more ? 0 : ++this.#fetches;
    const page = await this.#page(before).catch(() => null);
    if (nth && nth !== this.#fetches) return; // Another has taken its place.
    this.#hear(page ? { kind: "page", more, page } : { kind: "page-failed", more });
  }

  #page(before: PageStart | null): Promise<Page> {
    return this.request("GET", "/v1/inbox" + (before === null ? "" : `?before=${before}`));
  }

  async #post({ op, alerts, state, until }: Extract<Effect, { do: "post" }>): Promise<void> {
    try {
      this.#hear({ kind: "posted", op, said: await this.request("POST", "/v1/inbox/receipts", { alerts, state, until, op }) });
    } catch (error) {
      // What is wrong in itself (400, 413, 422) is wrong the next time as well.
      const refused = [400, 413, 422].includes((error as Partial<HttpError>).status ?? 0);
      this.#hear({ kind: "post-failed", op, refused });
    }
  }

  #emit<K extends keyof Events>(kind: K, event: Events[K]): void {
    for (const listener of this.#listeners.get(kind) ?? []) (listener as (event: Events[K]) => void)(event);
  }

  // ---- The other tabs.

  #join(): void {
    const { tabs } = this.#options;
    if (this.#tabs) return;
    this.#tabs = tabs ? joinTabs(`watchbell ${this.#url} ${tabs}`, (message) => this.#hearTab(message), () => this.#lead()) : null;
    this.#hear({ kind: "role", role: this.#tabs ? "follower" : "solo" });
    if (this.#tabs) this.#present(true);
  }

  #leave(): void {
    this.#tabs?.post({ kind: "leave", tab: this.#id });
    this.#tabs?.leave();
    this.#tabs = null;
    this.#others.clear();
    this.#hear({ kind: "role", role: this.#stop ? "follower" : "solo" });
  }

  #lead(): void {
    this.#mine.clear();
    this.#toldRows = new Map();
    this.#tabs?.post({ kind: "who" });
    this.#hear({ kind: "role", role: "leader" });
    this.#tellTopics();
  }

  /** Tells the leader that this tab is here, and what it wants. */
  #present(asks: boolean): void {
    this.#tabs?.post({ kind: "join", tab: this.#id, visibility: document.visibilityState, topics: [...this.#topics.keys()], asks });
  }

  /** The connection is looked at when any of its tabs is. */
  #visibility(): void {
    const isVisible = document.visibilityState === "visible" || [...this.#others.values()].some(({ visibleAt }) => visibleAt);
    this.#hear({ kind: "visibility", visibility: isVisible ? "visible" : "hidden" });
    if (this.#state.role === "follower") this.#present(false);
  }

  #tellTopics(): void {
    if (this.#state.role === "follower") return this.#present(false);
    const theirs = [...this.#others.values()].flatMap(({ topics }) => topics);
    this.#hear({ kind: "topics", topics: [...new Set([...this.#topics.keys(), ...theirs])] });
  }

  #hearTab(message: Message): void {
    const leads = this.#state.role === "leader";
    switch (message.kind) {
      case "join":
        this.#others.set(message.tab, { visibleAt: message.visibility === "visible" ? Date.now() : 0, topics: message.topics });
        if (leads && message.asks) this.#tell(true);
        break;
      case "leave": this.#others.delete(message.tab); break;
      case "who": return this.#present(true);
      case "say":
        if (!leads) return;
        this.#hear(message);
        return this.#tell(false, message.op);
      case "more": if (leads) this.#hear({ kind: "more" }); return;
      case "told": return this.#told(message);
      case "news": for (const row of message.rows) this.#emit("alert", { row, here: message.to === this.#id }); return;
      case "topic": return this.#emit("topic", message.frame);
    }
    if (!leads) return;
    this.#visibility();
    this.#tellTopics();
  }

  /** The leader's part: the others are told what changed. */
  #tell(whole = false, heard = ""): void {
    const s = this.#state;
    if (s.role !== "leader" || !this.#tabs) return;
    const { rows, ...inbox } = s.inbox;
    const before = this.#toldRows;
    const isWhole = whole || [...before.keys()].some((id) => !rows.has(id));
    const changed = isWhole ? [...rows.values()] : [...rows].filter(([id, row]) => before.get(id) !== row).map(([, row]) => row);
    this.#toldRows = rows;
    const told: Message = { kind: "told", leader: this.#id, whole: isWhole, rows: changed, heard, inbox, status: status(s), transport: s.current?.transport ?? null, user: s.user };
    const look = JSON.stringify({ ...told, rows: 0 });
    if (!isWhole && !changed.length && look === this.#toldLook) return;
    this.#toldLook = look;
    this.#tabs.post(told);
  }
  #toldLook = "";

  #told(message: Extract<Message, { kind: "told" }>): void {
    if (this.#state.role !== "follower") return;
    const rows = new Map(message.whole ? [] : this.#state.inbox.rows);
    for (const row of message.rows) rows.set(row.alert.id, row);
    const { pending } = this.#state.inbox;
    this.#mine.delete(message.heard);
    const unheard = pending.filter(({ op }) => this.#mine.has(op));
    // A new leader has not heard what the last one did not live to hear.
    if (message.leader !== this.#leader) for (const one of unheard) this.#tabs?.post({ ...one, kind: "say" });
    this.#leader = message.leader;
    this.#hear({ ...message, inbox: { ...message.inbox, rows, pending: [...message.inbox.pending, ...unheard] } });
  }

  /** One tab shows each alert: one that is being looked at, or else the leader. */
  #news(rows: Row[]): void {
    const visible = [...this.#others].filter(([, { visibleAt }]) => visibleAt).sort(([, a], [, b]) => b.visibleAt - a.visibleAt)[0];
    const to = document.visibilityState === "visible" || !visible ? this.#id : visible[0];
    this.#share({ kind: "news", rows, to });
  }

  /** Said in every tab, this one as well. */
  #share(message: Message): void {
    this.#tabs?.post(message);
    this.#hearTab(message);
  }
}

/** When a JWT is over, in milliseconds since 1970; null when it does not say. */
function expiry(token: string): number | null {
  try {
    const { exp } = JSON.parse(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"))) as { exp?: unknown };
    return Number(exp) * 1_000 || null;
  } catch {
    return null;
  }
}
