/**
 * A scripted server, a network with faults, a virtual clock, and one machine between them. Everything that can be
 * chance comes from one seed. `tick` events come when the machine asked for them; a run that asks for ever is an error.
 */
import { expect } from "vitest";
import { fullJitter } from "../src/backoff.ts";
import { view } from "../src/inbox.ts";
import { step, wakeAt } from "../src/machine.ts";
import { isUnread, rowAfter, type ClientFrame, type Page, type PageStart, type ReceiptState, type Row, type Said, type ServerFrame, type Transport } from "../src/protocol.ts";
import * as living from "../src/living.ts";
import { type Effect, type Event, type State, type Trouble, initial, status } from "../src/state.ts";

interface Conn { id: number; transport: Transport; sent: number; open: boolean; frozen: boolean; token: string; slot: ServerFrame[] }

export class World {
  now = 1_000_000;
  state: State = initial;
  rows = new Map<string, Row>();
  seq = 0;
  deletedTo = 0;
  epoch = "e1";
  token = "t1";
  up = true;
  /** How the page's token callback answers: with the token, never, with nobody, or by throwing. */
  callback: "answers" | "hangs" | "nobody" | "throws" = "answers";
  asks = 0;
  /** What stands between answers over HTTP that are no answers of ours: a sign-in page, or half of what was sent. */
  portal = false;
  malformed = 0;
  blocked = new Set<Transport>();
  conns = new Map<number, Conn>();
  news = new Map<string, number>();
  dials: Transport[] = [];
  believed: string[] = [];
  /** Messages that went out, those of receipts with what they said. */
  messages: { at: number; state?: ReceiptState; alerts?: readonly string[] }[] = [];
  /** The receipts among them. */
  get receipts(): { at: number; state: ReceiptState; alerts: readonly string[] }[] {
    return this.messages.filter((one): one is { at: number; state: ReceiptState; alerts: readonly string[] } => one.alerts !== undefined);
  }
  /** An alert that the server takes no receipt of, as of a name that is no name. */
  refuses = "";
  refusals: string[] = [];
  #due: { at: number; order: number; run: () => void }[] = [];
  #order = 0;
  #ops = 0;
  #seed: number;

  constructor(seed: number, readonly transports: readonly Transport[] = ["ws", "sse", "poll"]) {
    this.#seed = seed | 1;
  }

  random = (): number => {
    this.#seed = (Math.imul(this.#seed ^ (this.#seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return (this.#seed >>> 0) / 2 ** 32;
  };

  /** How far the server's clock is from ours, and how long a token lives; null: the tokens do not say. */
  skewMs = 0;
  lifeMs: number | null = null;
  /** Topics that the server was told of, and how many it had at once; the longest list of a dial. */
  told = { subscribed: new Set<string>(), most: 0, dialBytes: 0 };

  get serverTime(): number {
    return Date.UTC(2027, 0, 1) + this.now + this.skewMs;
  }

  get unread(): number {
    return [...this.rows.values()].filter((row) => isUnread(row.state)).length;
  }

  hear(event: Event): void {
    const before = this.state;
    const frozenCopy = JSON.stringify([before.current, before.next, before.attempt, before.inbox.seq]);
    const [state, effects] = step(before, event, { now: this.now, random: this.random, transports: this.transports, backoff: fullJitter, living });
    if (JSON.stringify([before.current, before.next, before.attempt, before.inbox.seq]) !== frozenCopy) throw new Error("the step changed its argument");
    this.state = state;
    const look = status(state);
    if (this.believed[this.believed.length - 1] !== look) this.believed.push(look);
    for (const effect of effects) this.#carryOut(effect);
  }

  /** Lets time pass, with everything that falls due in it. */
  pass(ms: number): void {
    const until = this.now + ms;
    for (let steps = 0; ; steps++) {
      if (steps > 20_000) throw new Error("the machine never rests");
      this.#due.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#due[0];
      const wake = wakeAt(this.state, living);
      const at = Math.min(next?.at ?? Infinity, wake === null ? Infinity : Math.max(wake, this.now));
      if (at > until) break;
      this.now = at;
      if (next && next.at <= at) {
        this.#due.shift();
        next.run();
      } else {
        this.hear({ kind: "tick" });
        const again = wakeAt(this.state, living);
        if (again !== null && again <= this.now) throw new Error(`the machine wants to be woken at once, again: ${event(this.state)}`);
      }
    }
    this.now = until;
  }

  // ---- What the server does.

  publish(id: string, fault: Fault = "none"): void {
    this.seq += 1;
    const known = this.rows.get(id);
    const version = (known?.alert.version ?? 0) + 1;
    const alert = { id, version, severity: "info" as const, status: "firing" as const, title: id, occurred_at: new Date(this.seq * 1000).toISOString() };
    const row: Row = { ...(known ?? { state: "new" as const }), seq: this.seq, alert };
    this.rows.set(id, row);
    this.#live({ type: "alert", ...this.#place(), ...row }, fault);
  }

  receive(alerts: string[], said: Said["state"], op?: string, fault: Fault = "none", until?: string): void {
    const frame: Said = until === undefined ? { state: said } : { state: said, until };
    const changed = alerts.filter((id) => {
      const row = this.rows.get(id);
      return row && rowAfter(row, frame) !== row;
    });
    if (changed.length === 0) return;
    this.seq += 1;
    for (const id of changed) {
      const row = this.rows.get(id);
      if (row) this.rows.set(id, { ...rowAfter(row, frame), seq: this.seq });
    }
    this.#live({ type: "receipt", ...this.#place(), alerts: changed, ...frame, by: "x", ...(op ? { op } : {}) }, fault);
  }

  say(alerts: string[], state: Said["state"], until?: string): void {
    this.hear({ kind: "say", op: `op-${++this.#ops}`, alerts, state, ...(until === undefined ? {} : { until }) });
  }

  /** Retention: one change, which the server's pings find; whoever is connected is told to fetch the inbox. */
  delete(ids: string[], fault: Fault = "none"): void {
    const gone = ids.filter((id) => this.rows.delete(id));
    if (gone.length === 0) return;
    this.seq += 1;
    this.deletedTo = this.seq;
    this.#live({ type: "resync", reason: "old alerts were deleted since", ...this.#place() }, fault);
  }

  /** A snooze is over. */
  wake(id: string, fault: Fault = "none"): void {
    const row = this.rows.get(id);
    if (row?.state !== "snoozed") return;
    this.seq += 1;
    this.rows.set(id, { alert: row.alert, seq: this.seq, state: "new" });
    this.#live({ type: "alert", ...this.#place(), alert: row.alert, state: "new" }, fault);
  }

  kill(code: number): void {
    for (const conn of this.conns.values()) this.#close(conn, code);
  }

  freeze(): void {
    for (const conn of this.conns.values()) conn.frozen = true;
  }

  goaway(): void {
    for (const conn of this.conns.values()) this.#send(conn, { type: "goaway", after_ms: 0, within_ms: 5_000, reason: "drain" });
  }

  ping(): void {
    for (const conn of this.conns.values()) if (conn.open) this.#send(conn, { type: "ping", seq: this.seq });
  }

  expireToken(): void {
    this.token = `t${Number(this.token.slice(1)) + 1}`;
    this.kill(4300);
  }

  newHistory(): void {
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`;
    this.rows.clear();
    this.seq = this.deletedTo = 0;
    this.kill(1006);
  }

  /** Pings go on as a real server's do. */
  /** Something that is no frame of ours comes between those that are. */
  garble(nth: number): void {
    for (const conn of this.conns.values()) if (conn.open) this.#later(5, () => this.hear({ kind: "frames", link: conn.id, frames: [GARBAGE[nth % GARBAGE.length]] }));
  }

  /** The computer sleeps: no timer runs, and what comes is read only afterwards. */
  sleep(ms: number): void {
    this.now += ms;
    this.hear({ kind: "woke" });
  }

  keepPinging(): void {
    this.#later(25_000, () => { this.ping(); this.keepPinging(); });
  }

  #place() {
    return { seq: this.seq, cursor: `${this.epoch}.${this.seq}`, unread: this.unread };
  }

  #live(frame: ServerFrame, fault: Fault): void {
    for (const conn of this.conns.values()) {
      if (fault === "lost") continue;
      if (fault === "late") this.#later(300, () => this.#send(conn, frame));
      else this.#send(conn, frame);
      if (fault === "twice") this.#send(conn, frame);
    }
  }

  #send(conn: Conn, frame: ServerFrame): void {
    if (!conn.open || conn.frozen) return;
    this.#later(5, () => this.hear({ kind: "frames", link: conn.id, frames: [frame] }));
  }

  #close(conn: Conn, code: number, trouble?: Trouble): void {
    this.conns.delete(conn.id);
    this.#later(5, () => this.hear({ kind: "ended", link: conn.id, code, ...(trouble ? { trouble } : {}) }));
  }

  #greet(conn: Conn, cursor: string | null): void {
    if (!this.conns.has(conn.id)) return;
    if (conn.token !== this.token) return this.#close(conn, 4300);
    const [epoch, from] = (cursor ?? "").split(".");
    const resumed = cursor !== null && epoch === this.epoch && Number(from) <= this.seq && Number(from) >= this.deletedTo;
    const hello = { type: "hello" as const, ...this.#place(), session: "s", user: "ana", resumed, heartbeat_ms: 30_000, server_time: new Date(this.serverTime).toISOString() };
    conn.open = true;
    this.#send(conn, resumed ? { ...hello, cursor } : hello);
    if (cursor !== null && !resumed) this.#send(conn, { type: "resync", reason: "another store", ...this.#place() });
    const replay = resumed ? [...this.rows.values()].filter((row) => row.seq > Number(from)).sort((a, b) => a.seq - b.seq) : [];
    for (const row of replay) this.#send(conn, { type: "alert", ...row, cursor: `${this.epoch}.${row.seq}`, unread: this.unread });
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case "ask-token":
        this.asks += 1;
        this.#later(10, () => {
          if (this.callback === "hangs") return;
          if (this.callback === "nobody") return this.hear({ kind: "token", token: null });
          if (this.lifeMs !== null) this.token = `${this.asks}.${btoa(JSON.stringify({ exp: (this.serverTime + this.lifeMs) / 1_000 }))}.`;
          this.hear(this.up && this.callback === "answers" ? { kind: "token", token: this.token } : { kind: "token-failed" });
        });
        return;
      case "dial": {
        const { link, transport, token, cursor, topics } = effect;
        this.told = { subscribed: new Set(topics), most: Math.max(this.told.most, topics.length), dialBytes: JSON.stringify(topics).length };
        this.dials.push(transport);
        const conn: Conn = { id: link, transport, sent: 0, open: false, frozen: false, token, slot: [] };
        this.conns.set(link, conn);
        if (this.up && this.portal) this.#close(conn, 1006, transport === "ws" ? undefined : "blocked");
        else if (!this.up || this.blocked.has(transport)) this.#close(conn, 1006);
        else this.#later(20, () => this.#greet(conn, cursor));
        return;
      }
      case "hang-up": this.conns.delete(effect.link); return;
      case "probe": {
        const conn = this.conns.get(effect.link);
        if (conn?.open && !conn.frozen) this.#later(5, () => this.hear({ kind: "frames", link: effect.link, frames: [] }));
        return;
      }
      case "send": this.#obey(effect.link, effect.frame); return;
      case "post":
        this.messages.push({ at: this.now, state: effect.state, alerts: effect.alerts });
        this.#later(10, () => {
          if (effect.alerts.includes(this.refuses)) return this.hear({ kind: "post-failed", op: effect.op, refused: true });
          if (!this.up || this.portal) return this.hear({ kind: "post-failed", op: effect.op, refused: false });
          const { op, alerts, state, until } = effect;
          this.receive(alerts, state, op, "none", until);
          this.hear({ kind: "posted", frame: { type: "receipt", ...this.#place(), cursor: "", by: "", alerts: [], state, until, op } });
        });
        return;
      case "fetch":
        this.#later(15, () => {
          if (!this.up || this.portal) return this.hear({ kind: "page-failed", more: effect.more });
          const page = this.#page(effect.before);
          this.#later(15, () => this.hear({ kind: "page", more: effect.more, page }));
        });
        return;
      case "news": for (const row of effect.rows) this.news.set(row.alert.id, (this.news.get(row.alert.id) ?? 0) + 1); return;
      case "refused": this.refusals.push(effect.title); return;
      case "topic": return;
      case "malformed": this.malformed += 1; return;
    }
  }

  #obey(link: number, frame: ClientFrame): void {
    const conn = this.conns.get(link);
    if (frame.type === "subscribe") this.told.subscribed.add(frame.topic);
    if (frame.type === "unsubscribe") this.told.subscribed.delete(frame.topic);
    this.told.most = Math.max(this.told.most, this.told.subscribed.size);
    if (frame.type !== "receipt") {
      if (frame.type !== "pong" && frame.type !== "auth") this.messages.push({ at: this.now });
      return;
    }
    this.messages.push({ at: this.now, state: frame.state, alerts: frame.alerts });
    if (!conn?.open || conn.frozen || frame.alerts.includes(this.refuses)) return;
    this.#later(5, () => this.receive(frame.alerts, frame.state, frame.op, "none", frame.until));
  }

  #page(start: PageStart | null): Page {
    const before = start === null ? null : Number(start);
    const limit = 5;
    const rows = [...this.rows.values()].filter((row) => before === null || row.seq < before).sort((a, b) => b.seq - a.seq);
    const last = rows[limit - 1]?.seq;
    const alerts = last === undefined ? rows : rows.filter((row) => row.seq >= last);
    return { ...this.#place(), deleted_to: this.deletedTo, alerts, next_before: alerts.length < rows.length ? (last ?? null) : null };
  }

  #later(ms: number, run: () => void): void {
    this.#due.push({ at: this.now + ms, order: ++this.#order, run });
  }
}

/** What no server of ours sends, of every kind that would leave its mark. */
const GARBAGE: readonly unknown[] = [
  undefined, null, "<!doctype html>", [], { type: 7 }, { type: "alert" }, { type: "constructor" }, { type: "ping" }, { type: "ping", seq: "9" },
  { type: "alert", seq: 1e300, cursor: "e1.9", unread: 1, state: "new", alert: { id: "x", title: "" } },
  { type: "alert", seq: 9, cursor: "e1.9", unread: 1, state: "new", alert: { id: 3, title: "" } },
  { type: "receipt", seq: 9, cursor: "e1.9", unread: 1, state: "read", alerts: "all", by: "" },
  { type: "receipt", seq: 9, cursor: "e1.9", unread: 1, state: "read", alerts: [1], by: "" },
  { type: "goaway", after_ms: null, within_ms: {} }, { type: "resync" }, { type: "snapshot", topic: "t", events: null }, { type: "hello", seq: 0 },
];

export type Fault = "none" | "lost" | "late" | "twice";

const event = (state: State): string => JSON.stringify({ ...state, inbox: undefined });

/** In no second more messages than a server reads at full speed (`socket.messages_per_second`), and none too long. */
export function expectPaced({ messages }: World): void {
  messages.forEach(({ at, alerts }, first) => {
    const inASecond = messages.slice(first, first + 11).filter((one) => one.at - at < 1_000).length;
    if (inASecond > 10) throw new Error(`more than 10 messages in the second after ${at}`);
    if (alerts && (alerts.length === 0 || alerts.length > 50 || JSON.stringify(alerts).length > 4_000)) throw new Error(`a message names ${alerts?.length} alerts`);
  });
}

/** What the server has is what is shown, of all that is loaded; and nothing still waits. */
export function expectSettled(world: World): void {
  expect(status(world.state)).toBe("live");
  expect(world.state.current?.transport).toBe(world.transports.find((transport) => !world.blocked.has(transport)));
  expect(world.state.inbox.pending).toEqual([]);
  const shown = view(world.state.inbox);
  expect(shown.unread).toBe(world.unread);
  for (const row of shown.alerts) {
    const { seq, state, alert } = world.rows.get(row.alert.id) ?? {};
    expect([row.seq, row.state, row.alert.version]).toEqual([seq, state, alert?.version]);
  }
  const lowest = Number(world.state.inbox.nextBefore ?? 0);
  const expected = [...world.rows.values()].filter((row) => row.seq >= lowest).map((row) => row.alert.id).sort();
  expect(shown.alerts.filter((row) => row.seq >= lowest).map((row) => row.alert.id).sort()).toEqual(expected);
}
