/** A session that does as a page tells it, with the server's answers made up: what the element needs of `Watchbell`, and no more. */
import type { Events, Row, Snapshot, Watchbell } from "@watchbell/client";
import { type ShownRow, deviceId } from "@watchbell/inbox";

type Listener = (event: never) => void;

/** A zone in whose quiet hours it is not now: within them nothing is toasted, and no test may depend on when it is run. */
function whereItIsDay(): string {
  const hour = new Date().getUTCHours();
  return hour >= 7 && hour < 19 ? "Europe/Warsaw" : "Pacific/Auckland";
}

export class PageSession {
  readonly #changed = new Set<() => void>();
  readonly #listeners = new Map<string, Set<Listener>>();
  /** What was asked of the server, and what was said. */
  readonly asked: string[] = [];
  readonly said: string[] = [];
  /** Answers of the server by the beginning of their request. */
  readonly answers: [string, (path: string, body: unknown) => unknown][] = [
    ["GET /v1/preferences", () => ({ channels: { email: false }, categories: { deploys: { push: false } }, quiet: { zone: whereItIsDay(), windows: [{ days: ["mon", "tue", "wed", "thu", "fri"], from: "22:00", to: "07:00" }] } })],
    ["GET /v1/devices", () => ({ devices: [{ device: "phone-1", service: "apns", registered_at: "2026-03-01T09:00:00Z" }, { device: deviceId(), service: "webpush", registered_at: "2026-05-20T09:00:00Z" }] })],
    ["GET /v1/inbox", () => ({ alerts: this.#snapshot.alerts.slice(0, 50), next_before: null })],
    ["", () => ({})],
  ];
  #snapshot: Snapshot;

  constructor(alerts: readonly ShownRow[], user = "ana") {
    this.#snapshot = { status: "live", transport: "ws", ended: null, user, unread: 0, waiting: 0, alerts, loaded: true, hasMore: false, leads: true, reason: null };
    this.#count();
  }

  readonly client: Watchbell = ((session: PageSession) => ({
    get snapshot() { return session.#snapshot; },
    subscribe: (changed: () => void) => { session.#changed.add(changed); return () => session.#changed.delete(changed); },
    on: (kind: keyof Events, listener: Listener) => {
      const of = session.#listeners.get(kind) ?? new Set();
      session.#listeners.set(kind, of.add(listener));
      return () => of.delete(listener);
    },
    say: (ids: readonly string[], state: string, what?: Date | { action: string }) => session.say(ids, state, what),
    request: async (method: string, path: string, body?: unknown) => {
      session.asked.push(`${method} ${path}`);
      return session.answers.find(([begins]) => `${method} ${path}`.startsWith(begins))?.[1](path, body);
    },
    more: () => session.asked.push("more"), start: () => session.asked.push("start"), stop: () => undefined,
    shared: <T>(name: string) => session.#shared<T>(name),
    retry: () => session.asked.push("retry"), signIn: () => session.asked.push("sign-in"),
  }))(this) as unknown as Watchbell;

  become(next: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...next };
    this.#count();
    for (const changed of this.#changed) changed();
  }

  /** New alerts at once, as one change. */
  news(...rows: ShownRow[]): void {
    const ids = new Set(rows.map(({ alert }) => alert.id));
    this.become({ alerts: [...rows, ...this.#snapshot.alerts.filter(({ alert }) => !ids.has(alert.id))] });
    for (const row of rows) for (const listener of this.#listeners.get("alert") ?? []) (listener as (event: Events["alert"]) => void)({ row, here: true });
  }

  say(ids: readonly string[], state: string, what?: Date | { action: string }): void {
    this.said.push(`${ids.join(",")} ${state}`);
    const after = { unread: "seen", answered: "read" }[state] ?? state;
    const answer = what && "action" in what ? { answer: what } : {};
    this.become({ alerts: this.#snapshot.alerts.map((row) => (ids.includes(row.alert.id) ? { ...row, ...answer, state: after as Row["state"] } : row)) });
  }

  /** As the client has it: known to all tabs. */
  #shared<T>(name: string): { get(): T | undefined; set(value: T): void; subscribe(changed: () => void): () => void } {
    const listeners = new Set<() => void>();
    const take = (value: T) => {
      this.#values.set(name, value);
      for (const changed of listeners) changed();
    };
    let channel: BroadcastChannel | undefined;
    try {
      channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => take(data as T);
    } catch { /* In a sandboxed frame: this tab alone. */ }
    return {
      get: () => this.#values.get(name) as T | undefined,
      set: (value) => { take(value); channel?.postMessage(value); },
      subscribe: (changed) => { listeners.add(changed); return () => listeners.delete(changed); },
    };
  }
  readonly #values = new Map<string, unknown>();

  #count(): void {
    this.#snapshot = { ...this.#snapshot, unread: this.#snapshot.alerts.filter(({ state }) => state === "new" || state === "seen").length };
  }
}

const HOUR_MS = 3_600_000;

export function aRow(nth: number, more: Partial<ShownRow["alert"]> & { title: string }, state: Row["state"] = "new"): ShownRow {
  const at = new Date(Date.now() - nth * HOUR_MS / 3).toISOString();
  return { seq: 10_000 - nth, state, alert: { id: `alert-${nth}`, version: 1, severity: "info", status: "firing", occurred_at: at, ...more } };
}

/** So many rows, the newest first. */
export const manyAlerts = (count: number): ShownRow[] => Array.from({ length: count }, (_, nth) => aRow(nth, { title: `Alert ${nth}`, body: nth % 3 ? `Of the ${nth}th minute` : "", severity: nth % 17 ? "info" : "warning" }, nth % 5 ? "read" : "new"));

const FACE = "https://127.0.0.1/none.png";

/** One of each kind. */
export function someAlerts(isArabic = false): ShownRow[] {
  const arabic = isArabic ? [aRow(0, { title: "قاعدة البيانات لا تستجيب", body: "أعد تشغيلها أو اتصل بالمناوب", severity: "critical", source: "المراقبة" })] : [];
  return [
    ...arabic,
    aRow(1, { title: "Checkout answers 503 in Frankfurt", severity: "critical", source: "checkout", category: "availability", body: "**4 of 6** pods are failing. Run `kubectl rollout undo deploy/checkout`, or see the [runbook](https://example.com/runbook).", body_format: "markdown", group_key: "checkout", actions: [{ id: "ack", title: "I take it", answer: "yes" }, { id: "undo", title: "Roll back", answer: "rollback" }, { id: "see", title: "Dashboard", url: "https://example.com/d" }] }),
    aRow(2, { title: "Checkout is slow", severity: "warning", source: "checkout", group_key: "checkout" }),
    aRow(3, { title: "Checkout deploy 418 finished", source: "checkout", group_key: "checkout" }, "read"),
    aRow(4, { title: "The certificate of shop.example.com ends in three days and nobody has renewed it although two reminders went out before this one", severity: "warning", source: "certificates", category: "expiry", body: "It was issued on the first of March by the authority of the company. Whoever is on duty this week renews it by the portal, then puts it onto the balancers in Frankfurt and Dublin, and at last looks at the page from outside of the company's own network, where the old one may still be cached for a while.\nAsk the platform team where something is missing." }),
    aRow(5, { title: "Ana mentioned you in “Post-mortem of May”", source: "documents", image: FACE, body: "Could you look at the time line?" }, "seen"),
    aRow(6, { title: "May refund 1,204.00 € to customer 88112?", source: "billing", category: "approvals", severity: "warning", actions: [{ id: "approve", title: "Approve", answer: "yes" }, { id: "refuse", title: "Refuse", answer: "no" }] }),
    { ...aRow(7, { title: "Access to production for Ben?", source: "access", actions: [{ id: "approve", title: "Approve", answer: "yes" }, { id: "refuse", title: "Refuse", answer: "no" }] }, "read"), answer: { action: "approve" } },
    aRow(8, { title: "Backup of orders finished", source: "backups", status: "resolved", body: "412 GB in 38 minutes" }, "read"),
    aRow(9, { title: "Disk of db-2 is at 81 %", severity: "warning", source: "disks", status: "acknowledged" }, "read"),
  ];
}

/** Alerts that one of several people takes on: still to be taken, taken by this person, by another, and by one who is gone. */
export function alertsToTakeOn(): ShownRow[] {
  const asked = (nth: number, title: string, acknowledgement: object, state: Row["state"] = "new") =>
    aRow(nth, { title, severity: "critical", source: "checkout", acknowledgement } as ShownRow["alert"], state);
  return [
    asked(1, "Checkout answers 503 in Frankfurt", {}),
    asked(2, "Checkout answers 503 in Dublin", { by: "ana" }, "read"),
    asked(3, "The queue of orders is long", { by: "ben" }, "read"),
    asked(4, "A balancer is gone", { by: "~erased" }, "read"),
  ];
}
