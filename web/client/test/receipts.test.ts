import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Said, type Standing, rowAfter } from "../src/protocol.ts";
import { view } from "../src/inbox.ts";
import { World, expectPaced } from "./world.ts";

const EIGHT = "2027-01-01T08:00:00Z";
const NINE = "2027-01-01T09:00:00Z";
const said = fc.constantFrom<Said>({ state: "seen" }, { state: "read" }, { state: "dismissed" }, { state: "unread" }, { state: "snoozed", until: EIGHT }, { state: "snoozed", until: NINE });
const names = (count: number) => Array.from({ length: count }, (_, at) => `a${at}`);

/** A live session with alerts, whose `delivered` has gone out. */
function withAlerts(count: number): World {
  const world = new World(5);
  world.hear({ kind: "start" });
  world.pass(1_000);
  for (const id of names(count)) world.publish(id);
  world.pass(10_000);
  world.messages.length = 0;
  return world;
}

const states = (world: World) => new Map([...world.rows].map(([id, row]) => [id, row.state]));
const standings = (world: World) => new Map([...world.rows].map(([id, { state, until }]): [string, Standing] => [id, until === undefined ? { state } : { state, until }]));

describe("receipts on their way", () => {
  it("end as they were said, whatever went together, and are never more than ten messages a second", () => {
    const act = fc.record({ ids: fc.array(fc.nat(14), { minLength: 1, maxLength: 5 }), said, pauseMs: fc.constantFrom(0, 0, 0, 1, 40, 200, 2_000) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 120 }), fc.constantFrom("ws" as const, "poll" as const), (acts, transport) => {
        const world = withAlerts(15);
        if (transport === "poll") world.blocked.add("ws").add("sse");
        world.kill(1006);
        world.pass(20_000);
        const expected = standings(world);
        for (const { ids, said, pauseMs } of acts) {
          const alerts = ids.map((id) => `a${id}`);
          for (const id of alerts) expected.set(id, rowAfter(expected.get(id) as Standing, said));
          world.say(alerts, said.state, said.until);
          world.pass(pauseMs);
        }
        world.pass(60_000);
        expect(standings(world)).toEqual(expected);
        expect(world.state.inbox.pending).toEqual([]);
        expectPaced(world);
      }),
      { numRuns: Number(process.env["RUNS"] ?? 300) },
    );
  }, 120_000);

  it("go at once where they are few", () => {
    const world = withAlerts(3);
    for (const id of names(3)) world.say([id], "dismissed");
    expect(world.receipts.map(({ alerts }) => alerts)).toEqual([["a0"], ["a1"], ["a2"]]);
  });

  it("go together where they are many: 1,000 within a second, in messages of 50 alerts at the most", () => {
    const world = withAlerts(1_000);
    for (const id of names(1_000)) world.say([id], "read");
    world.pass(3_050);
    expect(world.receipts.map(({ alerts }) => alerts.length)).toEqual([...Array<number>(9).fill(1), ...Array<number>(19).fill(50), 41]);
    expect([...states(world).values()].every((state) => state === "read")).toBe(true);
  });

  it("do not pass one another about the same alert", () => {
    const world = withAlerts(4);
    for (let at = 0; at < 9; at++) world.say([`a${at % 3}`], "seen"); // From here on they wait.
    world.say(["a3"], "read");
    world.say(["a3"], "unread");
    world.say(["a0", "a3"], "read");
    world.say(["a1"], "read");
    world.pass(1_100);
    expect(world.receipts.slice(9).map(({ alerts, state }) => [state, ...alerts])).toEqual([["read", "a3", "a1"], ["unread", "a3"], ["read", "a0", "a3"]]);
    expect(Object.fromEntries(states(world))).toEqual({ a0: "read", a1: "read", a2: "seen", a3: "read" });
  });

  it("say that alerts came, merged as well, and do not wait for an answer to that", () => {
    const world = withAlerts(0);
    for (const id of names(40)) { world.publish(id); world.pass(10); }
    world.pass(1_100);
    expect(world.messages.length).toBeLessThan(8);
    expect(world.receipts.flatMap(({ alerts }) => alerts).sort()).toEqual(names(40).sort());
    expect(world.receipts.every(({ state }) => state === "delivered")).toBe(true);
    expectPaced(world);
    const { length } = world.messages;
    world.pass(20_000);
    expect(world.messages.length).toBe(length);
  });

  it("of snoozes go together where they end together, and each is told by its time", () => {
    const world = withAlerts(4);
    for (let at = 0; at < 9; at++) world.say(["a3"], at % 2 ? "unread" : "read"); // From here on they wait.
    for (const [id, until] of [["a0", EIGHT], ["a1", NINE], ["a2", EIGHT]] as const) world.say([id], "snoozed", until);
    expect(view(world.state.inbox).alerts.filter(({ state }) => state === "snoozed").map(({ alert, until }) => [alert.id, until]).sort()).toEqual([["a0", EIGHT], ["a1", NINE], ["a2", EIGHT]]);
    world.pass(1_100);
    expect(world.receipts.slice(9).map(({ alerts }) => alerts)).toEqual([["a0", "a2"], ["a1"]]);
    expect([...standings(world).values()].slice(0, 3)).toEqual([EIGHT, NINE, EIGHT].map((until) => ({ state: "snoozed", until })));
  });

  it("a snoozed alert comes back as news, also after its frame was lost", () => {
    const world = withAlerts(2);
    world.keepPinging();
    world.say(["a0", "a1"], "snoozed", NINE);
    world.pass(1_000);
    expect(view(world.state.inbox).unread).toBe(0);
    world.wake("a0");
    world.wake("a1", "lost");
    world.pass(60_000);
    expect(view(world.state.inbox)).toMatchObject({ unread: 2, alerts: [{ state: "new" }, { state: "new" }] });
    expect([world.news.get("a0"), world.news.get("a1")]).toEqual([2, 2]);
  });

  it.each(["snoozed", "read", "dismissed"] as const)("a `seen` that waits is dropped for what was %s meanwhile, and only for that", (state) => {
    const world = withAlerts(3);
    world.freeze();
    world.say(["a0", "a1"], "seen");
    world.say(["a2"], "seen");
    world.say(["a0", "a2"], state, state === "snoozed" ? NINE : undefined);
    world.messages.length = 0;
    world.kill(1006);
    world.pass(60_000);
    expect(world.receipts.filter((one) => one.state === "seen").map(({ alerts }) => alerts)).toEqual([["a1"]]);
    expect(Object.fromEntries(states(world))).toEqual({ a0: state, a1: "seen", a2: state });
    expect(world.state.inbox.pending).toEqual([]);
  });

  it("a `seen` that waits does not undo a snooze of another device", () => {
    const world = withAlerts(1);
    world.keepPinging();
    world.say(["a0"], "seen");
    world.receive(["a0"], "snoozed", undefined, "none", NINE);
    world.pass(60_000);
    expect([...standings(world).values()]).toEqual([{ state: "snoozed", until: NINE }]);
    expect(view(world.state.inbox).alerts.map(({ state }) => state)).toEqual(["snoozed"]);
    expect(world.state.inbox.pending).toEqual([]);
  });

  it.each(["ws", "poll"] as const)("one that the server refuses takes no other along, by %s", (transport) => {
    const world = withAlerts(6);
    if (transport === "poll") world.blocked.add("ws").add("sse");
    world.kill(1006);
    world.pass(20_000);
    world.refuses = "a4";
    for (let at = 0; at < 9; at++) world.say(["a5"], "seen");
    for (const id of names(6)) world.say([id], "read");
    world.pass(20_000);
    expect(Object.fromEntries(states(world))).toEqual({ a0: "read", a1: "read", a2: "read", a3: "read", a4: "new", a5: "read" });
    expect(world.refusals).toEqual(["the receipt"]);
    expect(world.state.inbox.pending).toEqual([]);
    expectPaced(world);
  });
});
