/**
 * Many tabs, one connection: a BroadcastChannel carries what the leader knows to the others, which show it and pass on what
 * their person says. Loaded by a page that names its tabs.
 *
 * What holds here:
 * - What a follower said is sent again to the next leader until one has it.
 * - A follower asks a leader that is silent, and takes its place where it does not answer: it may stand still in a dialog, be
 *   frozen, or be of a page that does not share any more.
 * - A leader that was replaced while it stood still is not believed any more: each leader has a term, higher than the last.
 * - Each alert is shown by one tab.
 * - Where locks or channels are missing or refused, this tab is on its own.
 */
import type { Inbox } from "./inbox.ts";
import { type Line, lineUp } from "./lead.ts";
import type { Row, Said, TopicFrame, Transport, Visibility } from "./protocol.ts";
import { type Ended, type Event, type Reason, type State, type Status, reason, status } from "./state.ts";

/** Whom it is from: a higher term is a later leader. */
interface Leader {
  leader: string;
  term: number;
}

/** What all tabs have: the highest `nth` holds, and of equal ones the one of the highest `tab`. */
interface Value {
  kind: "value";
  name: string;
  value: unknown;
  nth: number;
  tab: string;
}

/** What every tab does something with, in the tab that says it as well. */
export type Shared =
  /** New alerts; the tab `to` shows them. */
  | ({ kind: "news"; rows: Row[]; to: string } & Leader)
  | { kind: "topic"; frame: TopicFrame }
  | { kind: "value"; name: string; value: unknown };

export type Message =
  /** A tab is here: asks the leader for everything, and tells it what it wants. Repeated when that changes. */
  | { kind: "join"; tab: string; visibility: Visibility; topics: readonly string[]; asks: boolean }
  | { kind: "leave"; tab: string }
  /** A new leader asks who is here. */
  | ({ kind: "who" } & Leader)
  /** A follower asks whether the leader lives, which says so. */
  | { kind: "ask" }
  | ({ kind: "alive" } & Leader)
  | ({ kind: "say"; op: string; alerts: string[] } & Said)
  /** What the leader is asked to do. */
  | { kind: "do"; what: "more" | "retry" | "sign-in" }
  /**
   * What the leader knows: `rows` are those that changed since the last one, all of them when `whole`. `heard` answers one
   * `say`: the leader has it from now on, also where it changed nothing and so does not wait.
   */
  | ({ kind: "told"; whole: boolean; rows: Row[]; heard: string; inbox: Omit<Inbox, "rows">; status: Status; reason: Reason | null; transport: Transport | null; user: string | null } & Leader)
  | Exclude<Shared, { kind: "value" }>
  | Value;

/** How often each tab looks whether it and its leader still run. */
const LOOK_MS = 1_000;
/** A leader that was silent for this long is asked, and has this long to answer. */
const SILENCE_MS = 1_000;
const ANSWER_MS = 2_500;
/** A timer that is late by this much says that this tab itself stood still. */
const LATE_MS = 1_500;

/** What it needs of the client. */
export interface Host {
  /** Of this tab, and of the tabs that share. */
  readonly id: string;
  readonly name: string;
  /** Set before this tab had joined. */
  readonly values: ReadonlyMap<string, unknown>;
  state(): State;
  topics(): string[];
  hear(event: Event): void;
  take(message: Shared): void;
  /** The others look elsewhere, or want other topics. */
  othersChanged(): void;
  /** Runs it; what it throws is reported. */
  guard(where: string, run: () => void): void;
  /** There is no sharing. */
  alone(error?: unknown): void;
}

/** Joins the others, or goes alone where this browser cannot. */
export function join(host: Host): Tabs | null {
  if (typeof BroadcastChannel !== "undefined" && "locks" in navigator) return new Tabs(host);
  host.alone();
  return null;
}

export class Tabs {
  readonly #host: Host;
  readonly #channel: BroadcastChannel;
  readonly #line: Line;
  readonly #others = new Map<string, { visibleAt: number; topics: readonly string[] }>();
  /** What this tab said and no leader has heard yet. */
  readonly #mine = new Set<string>();
  readonly #timer = setInterval(() => this.#look(), LOOK_MS);
  readonly #values = new Map<string, Value>();
  #term = 0;
  #ownTerm = 0;
  #leader = "";
  #heardAt = performance.now();
  #askedAt: number | null = null;
  #lookedAt = performance.now();
  /** Resolves once the browser has told us whether the lock was stolen while this tab stood still. */
  #certain: Promise<unknown> | null = null;
  #toldRows: Inbox["rows"] = new Map();
  #toldLook = "";
  /** The end of a session for which this tab gave the lead to another one, so that it does so once. */
  #gaveWayFor: Ended | null = null;

  /** Throws where a channel is refused. */
  constructor(host: Host) {
    this.#host = host;
    this.#channel = new BroadcastChannel(host.name);
    this.#channel.onmessage = ({ data }) => {
      this.#line.heard();
      host.guard("tabs", () => this.#hear(data as Message));
    };
    this.#line = lineUp(host.name, { lead: () => this.#lead(), follow: () => this.#follow(), alone: host.alone });
    this.#askNextLeader();
    for (const [name, value] of host.values) this.share({ kind: "value", name, value });
  }

  leave(): void {
    clearInterval(this.#timer);
    this.post({ kind: "leave", tab: this.#host.id });
    this.#line.leave();
    this.#channel.close();
  }

  /** Tells the other tabs what this one does already. */
  share(message: Shared): void {
    if (message.kind !== "value") return this.post(message);
    const value: Value = { ...message, nth: (this.#values.get(message.name)?.nth ?? 0) + 1, tab: this.#host.id };
    this.#values.set(message.name, value);
    this.post(value);
  }

  post(message: Message): void {
    this.#host.guard("tabs", () => this.#channel.postMessage(message));
  }

  #lead(): void {
    this.#mine.clear();
    this.#toldRows = new Map();
    this.#ownTerm = ++this.#term;
    this.post({ kind: "who", ...this.#me });
    this.#host.hear({ kind: "role", role: "leader" });
    this.#host.othersChanged();
  }

  #follow(): void {
    this.#host.hear({ kind: "role", role: "follower" });
    this.#askNextLeader();
  }

  #askNextLeader(): void {
    this.#leader = "";
    this.#heardAt = performance.now();
    this.#askedAt = null;
    // What the last leader had not sent is said to the next one.
    for (const { op, state } of this.#host.state().inbox.pending) if (state !== "delivered") this.#mine.add(op);
    this.present(true);
  }

  /** Tells the leader that this tab is here, and what it wants. */
  present(asks = false): void {
    this.post({ kind: "join", tab: this.#host.id, visibility: document.visibilityState, topics: this.#host.topics(), asks });
  }

  isLookedAt(): boolean {
    return [...this.#others.values()].some(({ visibleAt }) => visibleAt);
  }

  theirTopics(): string[] {
    return [...this.#others.values()].flatMap(({ topics }) => topics);
  }

  /** What the person said in this tab, which only follows. */
  say(said: Extract<Message, { kind: "say" }>): void {
    this.#mine.add(said.op);
    this.post(said);
  }

  /** One tab shows each alert: one that is being looked at, or else the leader. */
  news(rows: Row[]): void {
    if (performance.now() - this.#lookedAt > LOOK_MS + LATE_MS) this.#doubt();
    if (this.#certain) void this.#certain.then(() => this.#share(rows));
    else this.#share(rows);
  }

  #share(rows: Row[]): void {
    if (!this.#leads) return; // Its successor has them as well.
    const visible = [...this.#others].filter(([, { visibleAt }]) => visibleAt).sort(([, a], [, b]) => b.visibleAt - a.visibleAt)[0];
    const to = document.visibilityState === "visible" || !visible ? this.#host.id : visible[0];
    const news: Shared = { kind: "news", rows, to, ...this.#me };
    this.post(news);
    this.#host.take(news);
  }

  #hear(message: Message): void {
    const host = this.#host;
    if ("term" in message) {
      if (message.term < this.#term) return;
      this.#term = message.term;
      this.#heardAt = performance.now();
      this.#askedAt = null;
    }
    const leads = this.#leads;
    switch (message.kind) {
      case "join":
        this.#others.set(message.tab, { visibleAt: message.visibility === "visible" ? performance.now() : 0, topics: message.topics });
        if (!leads) return;
        if (message.asks) {
          this.tell(true);
          for (const value of this.#values.values()) this.post(value);
        }
        return host.othersChanged();
      case "leave":
        this.#others.delete(message.tab);
        if (leads) host.othersChanged();
        return;
      case "who": return this.present(true);
      case "ask": if (leads) this.post({ kind: "alive", ...this.#me }); return;
      case "say":
        if (!leads) return;
        if (!host.state().inbox.pending.some(({ op }) => op === message.op)) host.hear(message);
        return this.tell(false, message.op);
      case "do": if (leads) host.hear({ kind: message.what }); return;
      case "told": return this.#told(message);
      case "news":
      case "topic": host.take(message); return;
      case "value": {
        const known = this.#values.get(message.name);
        if (known && (known.nth > message.nth || (known.nth === message.nth && known.tab > message.tab))) return;
        this.#values.set(message.name, message);
        host.take(message);
      }
    }
  }

  /** The leader's part: the others are told what changed. */
  tell(whole = false, heard = ""): void {
    const s = this.#host.state();
    if (!this.#leads) return;
    // Nobody is signed in here: perhaps in another tab.
    if (s.ended?.why === "signed-out" && s.ended !== this.#gaveWayFor && this.#others.size) {
      this.#gaveWayFor = s.ended;
      this.#line.yield();
    }
    const { rows, ...inbox } = s.inbox;
    const before = this.#toldRows;
    const isWhole = whole || [...before.keys()].some((id) => !rows.has(id));
    const changed = isWhole ? [...rows.values()] : [...rows].filter(([id, row]) => before.get(id) !== row).map(([, row]) => row);
    this.#toldRows = rows;
    const told: Message = {
      kind: "told", ...this.#me, whole: isWhole, rows: changed, heard, inbox,
      status: status(s), reason: reason(s), transport: s.current?.transport ?? null, user: s.user,
    };
    const look = JSON.stringify({ ...told, rows: 0 });
    if (!isWhole && !changed.length && look === this.#toldLook) return;
    this.#toldLook = look;
    this.post(told);
  }

  #told(message: Extract<Message, { kind: "told" }>): void {
    const { role, inbox } = this.#host.state();
    if (role !== "follower") return;
    const rows = new Map(message.whole ? [] : inbox.rows);
    for (const row of message.rows) rows.set(row.alert.id, row);
    this.#mine.delete(message.heard);
    const unheard = inbox.pending.filter(({ op }) => this.#mine.has(op));
    // A new leader has not heard what the last one did not live to hear.
    if (message.leader !== this.#leader) for (const one of unheard) this.post({ ...one, kind: "say" });
    this.#leader = message.leader;
    const theirs = message.inbox.pending;
    const ours = unheard.filter(({ op }) => !theirs.some((one) => one.op === op));
    this.#host.hear({ ...message, inbox: { ...message.inbox, rows, pending: [...theirs, ...ours] } });
  }

  /** Whether this tab and its leader still run. */
  #look(): void {
    const now = performance.now();
    const stoodStill = now - this.#lookedAt > LOOK_MS + LATE_MS;
    this.#lookedAt = now;
    if (this.#host.state().role === "leader") {
      if (stoodStill) this.#doubt();
    } else if (now - this.#heardAt > SILENCE_MS && (this.#askedAt === null || stoodStill)) {
      this.#askedAt = now;
      this.post({ kind: "ask" });
    } else if (this.#askedAt !== null && now - this.#askedAt > ANSWER_MS) {
      this.#askedAt = null;
      this.#line.steal();
    }
  }

  /** Whatever happened to the lock meanwhile has been told once a later question to the lock manager is answered. */
  #doubt(): void {
    const certain = navigator.locks.query().catch(() => null).then(() => { if (this.#certain === certain) this.#certain = null; });
    this.#certain = certain;
  }

  get #me(): Leader {
    return { leader: this.#host.id, term: this.#ownTerm };
  }

  get #leads(): boolean {
    return this.#host.state().role === "leader" && this.#ownTerm === this.#term;
  }
}
