/** The tables that the Rust side has as well. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { empty, take } from "../src/inbox.ts";
import { afterReceipt, closeClass, rowAfter, type InboxState, type ReceiptState } from "../src/protocol.ts";
import * as living from "../src/living.ts";
import { type Event, initial } from "../src/state.ts";
import { step } from "../src/machine.ts";
import { fullJitter, steps, tenAttempts } from "../src/backoff.ts";

const fixture = (name: string) => JSON.parse(readFileSync(new URL(`../../../tests/fixtures/${name}.json`, import.meta.url), "utf8"));

describe("close codes", () => {
  const table = fixture("close_codes") as { code: number; class: string }[];
  it.each(table)("$code is $class", ({ code, class: expected }) => expect(closeClass(code)).toBe(expected));
  it("has a code of each class", () => expect(new Set(table.map((row) => row.class)).size).toBe(4));
  it.each([[1006, "back_off"], [1000, "back_off"], [4150, "back_off"], [4299, "resume"], [4310, "new_token"], [4099, "stop"], [4999, "stop"]])(
    "%i, which no table has, is %s", (code, expected) => expect(closeClass(code as number)).toBe(expected));
});

describe("frames", () => {
  const env = { now: 1, random: () => 0.5, transports: ["ws" as const], backoff: fullJitter, living };
  const live = () => {
    let state = step(initial, { kind: "start" }, env)[0];
    state = step(state, { kind: "token", token: "t" }, env)[0];
    return state;
  };
  const frames = fixture("server_frames") as Record<string, never>;
  it.each(Object.keys(frames))("%s is understood", (name) => {
    const [greeted] = step(live(), { kind: "frames", link: 1, frames: [frames["hello"] as never] }, env);
    expect(greeted.current?.greeted).toBe(true);
    expect(greeted.user).toBe("ana");
    const [after, effects] = step(greeted, { kind: "frames", link: 1, frames: [frames[name] as never] }, env);
    const did: Record<string, () => void> = {
      hello: () => expect(after.inbox.unread).toBe(2),
      alert: () => expect(after.inbox.rows.get("disk-db-1")?.alert.title).toBe("Disk full"),
      receipt: () => expect(after.inbox.unread).toBe(1),
      "alert, snoozed": () => {
        expect(after.inbox.rows.get("disk-db-1")).toMatchObject({ state: "snoozed", until: "2026-11-21T13:00:00Z" });
        expect(effects.some((effect) => effect.do === "news")).toBe(false);
      },
      "receipt, of a snooze": () => expect(after.inbox.unread).toBe(1),
      "alert, answered": () => expect(after.inbox.rows.get("disk-db-1")).toMatchObject({ state: "read", alert: { title: "Grow the disk?" } }),
      "receipt, of an answer": () => expect(after.inbox.unread).toBe(1),
      ping: () => expect(effects).toContainEqual({ do: "send", link: 1, frame: { type: "pong", seq: 7 } }),
      resync: () => expect(after.need).toMatchObject({ from: greeted.inbox.seq, at: 1 }),
      goaway: () => expect(after.moveAt).toBe(1 + 8_000),
      error: () => expect(effects).toContainEqual({ do: "refused", title: "must name 1 to 500 alerts" }),
      event: () => expect(effects).toContainEqual({ do: "topic", frame: frames["event"] }),
      snapshot: () => expect(effects).toContainEqual({ do: "topic", frame: frames["snapshot"] }),
      preferences: () => expect([after.inbox, effects]).toEqual([greeted.inbox, []]), // Asked for where they are shown.
      close: () => expect(after.current?.id).toBe(1), // Over HTTP only, where the wire reads it: wire.test.ts.
      "ping, of a poll": () => expect(after.need).toBeNull(),
    };
    expect(Object.keys(did)).toContain(name);
    did[name]?.();
  });
  it("of a later server are passed over", () => {
    expect(() => step(live(), { kind: "frames", link: 1, frames: [{ type: "hologram" } as never] }, env)).not.toThrow();
  });
});

describe("what the client says", () => {
  const env = { now: 1, random: () => 0.5, transports: ["ws" as const], backoff: fullJitter, living };
  const said = fixture("client_frames") as Record<string, object>;
  it("is as in the fixtures that the server reads", () => {
    const events: Event[] = [
      { kind: "start" },
      { kind: "token", token: "a.b.c" },
      { kind: "frames", link: 1, frames: [(fixture("server_frames") as Record<string, never>)["hello"] as never] },
      { kind: "topics", topics: ["monitor:7"] },
      { kind: "topics", topics: [] },
      { kind: "visibility", visibility: "hidden" },
      { kind: "visibility", visibility: "visible" },
      { kind: "say", op: "op-1", alerts: ["disk-db-1"], state: "seen" },
      { kind: "say", op: "op-2", alerts: ["disk-db-1"], state: "snoozed", until: "2026-11-21T13:00:00Z" },
      { kind: "frames", link: 1, frames: [{ type: "ping", seq: 7 }] },
      { kind: "token", token: "d.e.f" },
    ];
    let state = initial;
    const sent: object[] = [];
    for (const event of events) {
      const [next, effects] = step(state, event, env);
      state = next;
      for (const effect of effects) if (effect.do === "send") sent.push(effect.frame);
    }
    for (const name of ["subscribe", "unsubscribe", "visibility", "receipt", "receipt, of a snooze", "pong"]) expect(sent).toContainEqual(said[name]);
    expect(sent).toContainEqual({ ...said["auth, first visit"], token: "d.e.f" });
  });
});

describe("a receipt changes a state by the server's table", () => {
  const rows: [InboxState, ReceiptState, InboxState][] = [
    ["new", "delivered", "new"], ["new", "seen", "seen"], ["new", "read", "read"], ["new", "dismissed", "dismissed"], ["new", "unread", "new"],
    ["seen", "seen", "seen"], ["seen", "read", "read"], ["seen", "unread", "seen"], ["read", "seen", "read"], ["read", "dismissed", "dismissed"],
    ["read", "unread", "seen"], ["dismissed", "read", "dismissed"], ["dismissed", "unread", "seen"],
    ["new", "snoozed", "snoozed"], ["dismissed", "snoozed", "snoozed"], ["snoozed", "delivered", "snoozed"], ["snoozed", "seen", "snoozed"],
    ["snoozed", "read", "read"], ["snoozed", "dismissed", "dismissed"], ["snoozed", "unread", "seen"],
    ["new", "answered", "read"], ["snoozed", "answered", "read"], ["dismissed", "answered", "dismissed"],
  ];
  it.each(rows)("%s, then %s, is %s", (state, said, expected) => expect(afterReceipt(state, said)).toBe(expected));
});

describe("an answer", () => {
  const approved = { state: "answered" as const, action: "approve" };
  const given = { action: "reject", at: "2026-11-30T12:00:00Z" };
  it.each([
    ["makes the row read, and says which action", { state: "new" as const }, { state: "read", answer: { action: "approve" } }],
    ["is noted of a row that was read before", { state: "read" as const }, { state: "read", answer: { action: "approve" } }],
    ["that came first stays", { state: "seen" as const, answer: given }, { state: "read", answer: given }],
  ])("%s", (_, row, expected) => expect(rowAfter(row, approved)).toEqual(expected));
  it("that changes nothing is the row itself", () => {
    const row = { state: "read" as const, answer: given };
    expect(rowAfter(row, approved)).toBe(row);
  });
  it("of the server comes with its row", () => {
    const place = { seq: 1, cursor: "e.1", unread: 0 };
    const alert = { id: "a", version: 1, severity: "info" as const, status: "firing" as const, title: "A", occurred_at: "2026-11-30T12:00:00Z" };
    expect(take(empty, [{ type: "alert", ...place, alert, state: "read", answer: given }]).inbox.rows.get("a")?.answer).toEqual(given);
  });
});

describe("backoff", () => {
  it("has full jitter and grows to a minute, then to ten", () => {
    const most = (attempt: number) => fullJitter.waitMs(attempt, () => 1);
    expect([0, 1, 5, 6, 9, 10, 40].map(most)).toEqual([1_000, 2_000, 32_000, 60_000, 60_000, 600_000, 600_000]);
    expect(fullJitter.waitMs(5, () => 0)).toBe(0);
  });
  it("has the named steps, the last repeated, and ten attempts", () => {
    expect([0, 1, 2, 3, 4, 9].map((attempt) => tenAttempts.waitMs(attempt, () => 1))).toEqual([1_000, 2_000, 5_000, 10_000, 30_000, 30_000]);
    expect(tenAttempts.attemptsMax).toBe(10);
    expect(steps([1_000]).waitMs(3, () => 0)).toBe(500);
  });
});
