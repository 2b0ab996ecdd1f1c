/**
 * The session in a browser: carries out what the machine asks for, and tells the machine what happens.
 * Nothing is decided here. Nothing is dialed before `start`.
 *
 * What holds here: whatever throws, in the page's own code or in the browser's, is reported, and the session goes on with the
 * next event. Whatever is awaited has a deadline: here, in api.ts, or in the machine.
 */
import { request, within } from "./api.ts";
import { type Backoff, fullJitter } from "./backoff.ts";
import { view } from "./inbox.ts";
import { TOKEN_WAIT_MS, step, wakeAt } from "./machine.ts";
import { type Page, type PageStart, type ReceiptState, type Row, type TopicFrame, type Transport } from "./protocol.ts";
import { fits, grouped } from "./receipts.ts";
import { PAGE } from "./shapes.ts";
import { type Effect, type Ended, type Event, type Reason, type Living, type State, type Status, type WireEvent, initial, reason, status } from "./state.ts";
import type { Shared, Tabs } from "./tabs.ts";
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
  /** Why it is not live, for a person to be told; null where it is, or where nothing is known to be wrong. */
  reason: Reason | null;
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
  /** What was thrown and caught; `where` it was. Without a listener it goes to the console. */
  error: unknown;
  /** The name of a value of `shared` that has changed. */
  shared: string;
}

/** A small value that all tabs of the same `tabs` have, for as long as one of them is open. */
export interface SharedValue<T> {
  get(): T | undefined;
  set(value: T): void;
  /** Calls back after each change, in whatever tab. Answers how to stop. */
  subscribe(changed: () => void): () => void;
}

/** Below the longest delay a timer takes, which is 2 ** 31 - 1. */
const TIMER_MAX_MS = 1e9;
/** The wait after a step that threw, so that one that always does is no busy loop. */
const AFTER_ERROR_MS = 1_000;
/** How long the part for several tabs may take to load; then this tab is on its own. */
const TABS_WAIT_MS = 10_000;
/** The wait after a part could not be loaded. */
const LOAD_AGAIN_MS = 3_000;
/** The clock on the wall and the one that only runs drift apart by no more than this, unless one was set or stood still. */
const DRIFT_MAX_MS = 5_000;

export class Watchbell {
  readonly #options: Options;
  readonly #url: string;
  /** By chance alone: what makes better ones is missing on a page that came over plain HTTP. */
  readonly #id = Math.random().toString(36).slice(2);
  readonly #wires = new Map<number, Wire>();
  readonly #changed = new Set<() => void>();
  readonly #listeners = new Map<keyof Events, Set<(event: never, where: string) => void>>();
  readonly #topics = new Map<string, number>();
  readonly #values = new Map<string, unknown>();
  readonly #queue: Event[] = [];
  #isHearing = false;
  #state: State = initial;
  #snapshot: Snapshot | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drift = Date.now() - performance.now();
  #living: Living | null = null;
  #loadsLiving = false;
  #tabs: Tabs | null = null;
  /** Joining the other tabs, from its beginning to this tab's leaving. */
  #joining: object | null = null;
  #ops = 0;
  #asks = 0;
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
    // What waits is posted; and a page that is kept for the back button must not keep the others waiting.
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
    this.#leave();
    this.#hear({ kind: "stop" });
  }

  /** Asks the token callback anew, where somebody has signed in or a session was refused. */
  signIn(): void {
    this.#toLeader("sign-in");
  }

  /** Dials now instead of waiting longer. */
  retry(): void {
    this.#toLeader("retry");
  }

  /** What is known. The same object until something changes. */
  get snapshot(): Snapshot {
    const s = this.#state;
    return (this.#snapshot ??= {
      ...view(s.inbox), status: status(s), reason: reason(s), transport: (s.remote ?? s.current)?.transport ?? null,
      ended: s.ended, user: s.user, loaded: s.inbox.loaded, hasMore: s.inbox.nextBefore !== null, leads: s.role !== "follower",
    });
  }

  /** Calls back after each change. Answers how to stop. */
  subscribe = (changed: () => void): (() => void) => {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  };

  /** Calls back with each event of a kind. Answers how to stop. Only errors have a `where`. */
  on<K extends keyof Events>(kind: K, listener: (event: Events[K], where: string) => void): () => void {
    const of = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, of.add(listener));
    return () => of.delete(listener);
  }

  /**
   * Says what the person did. It shows at once, here and in the other tabs, and is repeated until the server has it.
   * A time is for `snoozed`: the alerts leave every screen of this person and come back unseen then, at most 30 days from
   * now; `unread` ends that. An action is for `answered`: one of the alert's own, of which the first answer stays.
   */
  say(alerts: readonly string[], state: ReceiptState, more?: Date | { action: string }): void {
    const names = alerts.filter((id) => fits([id]));
    if (names.length < alerts.length) this.#emit("refused", { title: "an alert's name" });
    const until = more instanceof Date ? more.toISOString() : undefined;
    const action = more && "action" in more ? more.action : undefined;
    for (const some of grouped(names)) {
      const said = { kind: "say" as const, op: `${this.#id}-${++this.#ops}`, alerts: some, state, until, action };
      if (this.#state.role === "follower") this.#tabs?.say(said);
      this.#hear(said);
    }
  }

  /** Marks all that is unread as read, also what was not paged in. */
  async readAll(): Promise<void> {
    const { alerts, unread } = this.snapshot;
    const { unreadNames } = await import("./living.ts");
    this.say(await unreadNames(alerts, this.#state.inbox.nextBefore, unread, (before) => this.#page(before)), "read");
  }

  /** Asks for the next older page. */
  more(): void {
    this.#toLeader("more");
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

  /** A small value, which can be cloned, that all tabs have: such as that there is something to undo. */
  shared<T>(name: string): SharedValue<T> {
    return {
      get: () => this.#values.get(name) as T | undefined,
      set: (value) => this.#share({ kind: "value", name, value }),
      subscribe: (changed) => this.on("shared", (one) => one === name && changed()),
    };
  }

  /**
   * Asks the user's HTTP API, such as `/v1/preferences` or `/v1/devices`. A refusal is an `HttpError`, and so is an answer that
   * is not like `example`. With `keepalive` it goes on when the page goes.
   */
  request = async <T>(method: string, path: string, body?: unknown, example?: object, keepalive?: boolean): Promise<T> => {
    // A follower has no connection and so no token yet.
    const token = this.#state.token ?? (await within(TOKEN_WAIT_MS, this.#options.token({ fresh: false }))) ?? "";
    return request(this.#url + path, token, method, body, example, keepalive);
  };

  // ---- The machine.

  /** One event after the other, also when carrying one out is heard at once. */
  #hear(event: Event): void {
    this.#queue.push(event);
    if (this.#isHearing) return;
    this.#isHearing = true;
    let isWell = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      const one = next;
      isWell = this.#guard(one.kind, () => this.#step(one)) && isWell;
    }
    this.#isHearing = false;
    this.#wake(isWell ? 0 : AFTER_ERROR_MS);
  }

  #step(event: Event): void {
    const before = this.#state;
    const now = performance.now();
    const drift = Date.now() - now;
    if (Math.abs(drift - this.#drift) > DRIFT_MAX_MS) this.#queue.push({ kind: "woke" });
    this.#drift = drift;
    const [state, effects] = step(before, event, {
      now, random: Math.random, living: this.#living,
      transports: this.#options.transports ?? ["ws", "sse", "poll"], backoff: this.#options.backoff ?? fullJitter,
    });
    const look = shown(state);
    const isOther = shown(before).some((one, at) => one !== look[at]);
    this.#state = state;
    if (isOther) this.#snapshot = null;
    for (const effect of effects) this.#guard(effect.do, () => this.#carryOut(effect));
    this.#tabs?.tell();
    if (state.current) this.#loadLiving();
    if (isOther) for (const changed of this.#changed) this.#guard("subscribe", changed);
  }

  /** There is a connection: what works on one is loaded. Until then what the person says waits. */
  #loadLiving(): void {
    if (this.#loadsLiving) return;
    this.#loadsLiving = true;
    import("./living.ts").then(
      (living) => { this.#living = living; this.#hear({ kind: "tick" }); },
      (error: unknown) => { this.#report(error, "living"); setTimeout(() => { this.#loadsLiving = false; this.#hear({ kind: "tick" }); }, LOAD_AGAIN_MS); },
    );
  }

  #wake(leastMs: number): void {
    clearTimeout(this.#timer);
    const at = wakeAt(this.#state, this.#living);
    if (at !== null) this.#timer = setTimeout(() => this.#hear({ kind: "tick" }), Math.min(TIMER_MAX_MS, Math.max(leastMs, at - performance.now())));
  }

  /** Whether it threw nothing. */
  #guard(where: string, run: () => unknown): boolean {
    try {
      run();
      return true;
    } catch (error) {
      this.#report(error, where);
      return false;
    }
  }

  #report(error: unknown, where: string): void {
    const listeners = this.#listeners.get("error");
    if (!listeners?.size) console.error(`Watchbell, ${where}:`, error);
    for (const listener of listeners ?? []) {
      try {
        listener(error as never, where);
      } catch (another) {
        console.error(another);
      }
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case "dial": {
        const { link } = effect;
        const hear = (event: WireEvent) => this.#hear({ ...event, link });
        if (!this.#guard("dial", () => this.#wires.set(link, dialWire({ ...effect, url: this.#url }, hear)))) hear({ kind: "ended", code: 1006 });
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
      case "post": void this.#living?.post(effect, this.request, this.#state.inbox.unread).then((event) => this.#hear(event)); return;
      case "news":
        if (this.#tabs) this.#tabs.news(effect.rows);
        else for (const row of effect.rows) this.#emit("alert", { row, here: true });
        return;
      case "topic": this.#share({ kind: "topic", frame: effect.frame }); return;
      case "refused": this.#emit("refused", { title: effect.title }); return;
      case "malformed": this.#report(new Error("what came is no frame"), "frames");
    }
  }

  async #askToken(fresh: boolean): Promise<void> {
    const nth = ++this.#asks;
    try {
      const token = await this.#options.token({ fresh });
      // One that hung and was asked again may still answer, but not against a later answer.
      if (nth === this.#asks) this.#hear({ kind: "token", token: token || null });
    } catch (error) {
      this.#report(error, "token");
      if (nth === this.#asks) this.#hear({ kind: "token-failed" });
    }
  }

  async #fetchPage(before: PageStart | null, more: boolean): Promise<void> {
    const nth = more ? 0 : ++this.#fetches;
    const page = await this.#page(before).catch(() => null);
    if (nth && nth !== this.#fetches) return; // Another has taken its place.
    this.#hear(page ? { kind: "page", more, page } : { kind: "page-failed", more });
  }

  async #page(before: PageStart | null): Promise<Page> {
    const page = await this.request<Page>("GET", "/v1/inbox" + (before === null ? "" : `?before=${before}`), undefined, PAGE);
    return { ...page, next_before: page.next_before ?? null };
  }

  #emit<K extends keyof Events>(kind: K, event: Events[K]): void {
    for (const listener of this.#listeners.get(kind) ?? []) this.#guard(kind, () => (listener as (event: Events[K]) => void)(event));
  }

  // ---- The other tabs.

  #join(): void {
    const { tabs } = this.#options;
    if (this.#joining) return;
    const joining = (this.#joining = {});
    const alone = (error?: unknown) => {
      if (this.#joining !== joining) return;
      if (error) this.#report(error, "tabs");
      this.#leaveTabs("solo");
    };
    this.#hear({ kind: "role", role: tabs ? "follower" : "solo" });
    if (!tabs) return;
    within(TABS_WAIT_MS, import("./tabs.ts")).then(({ join }) => {
      if (this.#joining !== joining) return;
      this.#tabs = join({
        id: this.#id, name: `watchbell ${this.#url} ${tabs}`, values: this.#values,
        state: () => this.#state, topics: () => [...this.#topics.keys()],
        hear: (event) => this.#hear(event), take: (message) => this.#take(message), othersChanged: () => { this.#visibility(); this.#tellTopics(); },
        guard: (where, run) => this.#guard(where, run), alone,
      });
    }).catch(alone);
  }

  #leave(): void {
    this.#hear({ kind: "leave" });
    this.#joining = null;
    this.#leaveTabs(this.#stop ? "follower" : "solo");
  }

  #leaveTabs(role: State["role"]): void {
    const tabs = this.#tabs;
    this.#tabs = null;
    tabs?.leave();
    this.#hear({ kind: "role", role });
  }

  #toLeader(what: "more" | "retry" | "sign-in"): void {
    if (this.#state.role === "follower") this.#tabs?.post({ kind: "do", what });
    else this.#hear({ kind: what });
  }

  /** The connection is looked at when any of its tabs is. */
  #visibility(): void {
    const isVisible = document.visibilityState === "visible" || this.#tabs?.isLookedAt();
    this.#hear({ kind: "visibility", visibility: isVisible ? "visible" : "hidden" });
    if (this.#state.role === "follower") this.#tabs?.present();
  }

  #tellTopics(): void {
    if (this.#state.role === "follower") return this.#tabs?.present();
    this.#hear({ kind: "topics", topics: [...new Set([...this.#topics.keys(), ...(this.#tabs?.theirTopics() ?? [])])] });
  }

  /** In every tab, this one as well. */
  #share(message: Shared): void {
    this.#tabs?.share(message);
    this.#take(message);
  }

  /** What another tab said, or this one, to be done in every tab. */
  #take(message: Shared): void {
    switch (message.kind) {
      case "news": for (const row of message.rows) this.#emit("alert", { row, here: message.to === this.#id }); return;
      case "topic": return this.#emit("topic", message.frame);
      case "value":
        this.#values.set(message.name, message.value);
        this.#emit("shared", message.name);
    }
  }
}

/** What of a state is to be seen. */
const shown = (s: State): unknown[] => [s.inbox, status(s), reason(s), s.role, s.user];
