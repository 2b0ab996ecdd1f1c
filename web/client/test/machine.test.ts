import { describe, expect, it } from "vitest";
import { view } from "../src/inbox.ts";
import { reason, status } from "../src/state.ts";
import { World, expectPaced, expectSettled } from "./world.ts";

const jwt = (endsAt: number) => `a.${btoa(JSON.stringify({ exp: endsAt / 1_000 }))}.b`;

function live(seed = 7): World {
  const world = new World(seed);
  world.keepPinging();
  world.hear({ kind: "start" });
  world.pass(1_000);
  expect(status(world.state)).toBe("live");
  return world;
}

describe("a session", () => {
  it("shows an alert once, however often it comes, and counts it", () => {
    const world = live();
    world.publish("a", "twice");
    world.pass(100);
    expect(world.news.get("a")).toBe(1);
    expect(view(world.state.inbox).unread).toBe(1);
  });

  it("shows what was said at once, before the server answers", () => {
    const world = live();
    world.publish("a");
    world.pass(100);
    world.say(["a"], "dismissed");
    expect(view(world.state.inbox)).toMatchObject({ unread: 0, alerts: [{ state: "dismissed" }] });
    expect(world.rows.get("a")?.state).toBe("new");
    world.pass(100);
    expect(world.rows.get("a")?.state).toBe("dismissed");
    expectSettled(world);
  });

  it("says again what a broken connection swallowed", () => {
    const world = live();
    world.publish("a");
    world.pass(100);
    world.freeze();
    world.say(["a"], "read");
    world.pass(10_000);
    expect(world.rows.get("a")?.state).toBe("read");
  });

  it("heals a gap from the inbox, and toasts what it missed", () => {
    const world = live();
    world.publish("a", "lost");
    world.publish("b");
    world.pass(2_000);
    expect([...world.news.keys()].sort()).toEqual(["a", "b"]);
    expectSettled(world);
  });

  it("learns from a ping that it missed the last one", () => {
    const world = live();
    world.publish("a", "lost");
    world.pass(100);
    expect(world.news.size).toBe(0);
    world.pass(27_000);
    expect(world.news.get("a")).toBe(1);
  });

  it("shows no longer what was deleted, as far back as it has loaded anything", () => {
    const world = live();
    for (let nth = 0; nth < 20; nth++) world.publish(`a${nth}`);
    world.pass(100);
    world.say(["a3"], "read");
    world.pass(100);
    world.delete(["a1", "a7", "a19"]);
    expect(view(world.state.inbox).alerts).toHaveLength(20);
    world.pass(1_000);
    expect(view(world.state.inbox).alerts.map((row) => row.alert.id)).not.toContain("a1");
    expectSettled(world);
    expect(view(world.state.inbox)).toMatchObject({ unread: 16, alerts: { length: 17 } });
    world.delete([...world.rows.keys()]);
    world.pass(1_000);
    expect(view(world.state.inbox)).toMatchObject({ unread: 0, alerts: [] });
    expect(world.news.size).toBe(20);
  });

  it("finds out about a deletion while it fetches something else, and when it was not told", () => {
    const world = live();
    world.publish("a");
    world.publish("b");
    world.pass(100);
    world.delete(["a"], "lost");
    world.publish("c");
    world.pass(1_000);
    expect(view(world.state.inbox).alerts.map((row) => row.alert.id)).toEqual(["c", "b"]);
    world.delete(["b"], "lost");
    world.kill(1006);
    world.pass(10_000);
    expectSettled(world);
    expect(view(world.state.inbox).alerts.map((row) => row.alert.id)).toEqual(["c"]);
  });

  it("resumes from before a gap that was not healed yet", () => {
    const world = live();
    const { cursor } = world.state.inbox;
    world.publish("a", "lost");
    world.publish("b");
    world.pass(50);
    expect(world.state.inbox.cursor).toBe(cursor);
  });

  it("notices a server that fell silent, asks, and dials anew", () => {
    const world = live();
    world.freeze();
    world.publish("a");
    world.pass(65_000);
    expect(status(world.state)).toBe("live");
    world.pass(10_000);
    expect(world.news.get("a")).toBe(1);
    expectSettled(world);
  });

  it("does not take its own sleep for the server's silence", () => {
    const world = live();
    const dials = world.dials.length;
    world.now += 3_600_000; // The machine slept: no timer ran, nothing was read.
    world.hear({ kind: "visibility", visibility: "hidden" });
    world.hear({ kind: "visibility", visibility: "visible" });
    world.pass(1_000);
    expect(world.dials.length).toBe(dials);
    expectSettled(world);
  });

  it("makes before it breaks, and is never other than live", () => {
    const world = live();
    world.believed.length = 0;
    world.goaway();
    world.pass(1);
    world.publish("a");
    for (let at = 0; at < 6_000; at += 100) {
      world.pass(100);
      expect(world.conns.size).toBeGreaterThan(0);
    }
    expect(world.dials.length).toBe(2);
    expect(world.believed).toEqual(["live"]);
    expect(world.news.get("a")).toBe(1);
    expectSettled(world);
  });

  it("gets a new token when the old one is over", () => {
    const world = live();
    world.expireToken();
    world.pass(500);
    expect(world.state.token).toBe("t2");
    expectSettled(world);
  });

  it("renews a token before it is over, without a new connection", () => {
    const world = live();
    world.token = jwt(world.serverTime + 60_000);
    world.hear({ kind: "token", token: world.token });
    const next = (world.token = jwt(world.serverTime + 600_000));
    world.pass(40_000);
    expect(world.state.token).not.toBe(next);
    world.pass(15_000);
    expect(world.state.token).toBe(next);
    expect(world.dials.length).toBe(1);
  });

  it("asks anew for a token that does not come, and takes the one that does", () => {
    const world = new World(7);
    world.keepPinging();
    world.callback = "hangs";
    world.hear({ kind: "start" });
    world.pass(60_000);
    expect(world.asks).toBeGreaterThan(2);
    expect(world.asks).toBeLessThan(8);
    world.callback = "answers";
    world.pass(60_000);
    expectSettled(world);
  });

  it("keeps a live session while the next token does not come", () => {
    const world = live();
    world.token = jwt(world.serverTime + 60_000);
    world.hear({ kind: "token", token: world.token });
    world.callback = "hangs";
    world.believed.length = 0;
    world.pass(50_000);
    world.callback = "answers";
    world.pass(100_000);
    expect(world.believed).toEqual(["live"]);
    expectSettled(world);
  });

  it.each([0, -7_200_000, 7_200_000])("renews by the server's clock, %i ms away from ours: no more often than tokens live", (skewMs) => {
    const world = new World(7);
    world.keepPinging();
    world.skewMs = skewMs;
    world.lifeMs = 3_600_000;
    world.hear({ kind: "start" });
    world.pass(4 * 3_600_000);
    expect(world.asks).toBeGreaterThan(3);
    expect(world.asks).toBeLessThan(8);
    expect(world.dials.length).toBe(1);
    expectSettled(world);
  });

  it("says that nobody is signed in, asks once a minute while somebody looks, and recovers", () => {
    const world = live();
    world.callback = "nobody";
    world.expireToken();
    world.pass(5_000);
    expect([status(world.state), reason(world.state)]).toEqual(["closed", "signed-out"]);
    const { asks } = world;
    world.pass(600_000);
    expect(world.asks - asks).toBe(10);
    world.hear({ kind: "visibility", visibility: "hidden" });
    world.pass(600_000);
    expect(world.asks - asks).toBe(10);
    world.callback = "answers";
    world.hear({ kind: "visibility", visibility: "visible" });
    world.pass(1_000);
    expectSettled(world);
    expect(reason(world.state)).toBeNull();
  });

  it("asks who is signed in when the page says that somebody is", () => {
    const world = live();
    world.callback = "nobody";
    world.expireToken();
    world.pass(5_000);
    world.callback = "answers";
    world.hear({ kind: "sign-in" });
    world.pass(1_000);
    expectSettled(world);
  });

  it("says what stands in the way, and dials at once when it is asked to", () => {
    const world = live();
    world.portal = true;
    world.kill(1006);
    world.pass(120_000);
    expect([status(world.state), reason(world.state)]).toEqual(["offline", "blocked"]);
    world.up = false;
    world.portal = false;
    world.pass(3_000_000);
    const { length } = world.dials;
    world.hear({ kind: "retry" });
    world.pass(1);
    expect(world.dials.length).toBe(length + 1);
    world.up = true;
    world.pass(10_000);
    world.hear({ kind: "retry" });
    world.pass(100);
    expect([status(world.state), reason(world.state)]).toEqual(["live", null]);
  });

  it("comes back where the server had not heard the token in time", () => {
    const world = live();
    world.kill(4008);
    world.pass(10_000);
    expectSettled(world);
  });

  it("tells a server no more topics than it takes, none too long, and no more messages than it reads", () => {
    const world = live();
    const names = Array.from({ length: 100 }, (_, at) => `monitor:${at}`);
    world.hear({ kind: "topics", topics: ["x".repeat(20_000), ...names] });
    world.pass(30_000);
    expect(world.refusals).toEqual(["a topic"]);
    expect(world.told.subscribed.size).toBe(64);
    world.hear({ kind: "topics", topics: names.slice(50) });
    world.pass(30_000);
    expect([...world.told.subscribed].sort()).toEqual(names.slice(50).sort());
    for (let at = 0; at < 200; at++) world.hear({ kind: "visibility", visibility: at % 2 ? "visible" : "hidden" });
    world.pass(2_000);
    expect(world.told.most).toBeLessThanOrEqual(64);
    expectPaced(world);
  });

  it("dials with no longer a message than a server takes", () => {
    const world = live();
    world.hear({ kind: "topics", topics: Array.from({ length: 64 }, (_, at) => `${"t".repeat(190)}${at}`) });
    world.kill(1006);
    world.pass(30_000);
    expect(world.told.subscribed.size).toBe(64);
    expect(world.told.dialBytes + 8 * 1024).toBeLessThan(12 * 1024);
  });

  it("stops for good where coming back would end the same", () => {
    const world = live();
    world.kill(4001);
    world.pass(3_600_000);
    expect(status(world.state)).toBe("closed");
    expect(world.dials.length).toBe(1);
    expect(world.state.ended).toMatchObject({ why: "refused", code: 4001 });
  });

  it("falls back, stays there without flapping, and climbs back", () => {
    const world = new World(3);
    world.keepPinging();
    world.blocked.add("ws").add("sse");
    world.hear({ kind: "start" });
    world.pass(20_000);
    expect(world.state.current?.transport).toBe("poll");
    world.publish("a");
    world.pass(100);
    expect(world.news.get("a")).toBe(1);
    const before = world.dials.length;
    world.believed.length = 0;
    world.pass(3_600_000);
    expect(world.believed).toEqual(["live"]);
    expect(world.dials.length - before).toBeLessThan(40);
    world.blocked.clear();
    world.pass(700_000);
    expectSettled(world);
  });

  it("forgets another history, and keeps what was said", () => {
    const world = live();
    world.publish("a");
    world.pass(100);
    world.newHistory();
    world.publish("b");
    world.pass(10_000);
    expect([...world.state.inbox.rows.keys()]).toEqual(["b"]);
    expectSettled(world);
  });

  // A page of the inbox was asked for before the receipt and came after it: what it said was taken for the truth.
  it.each(["of the first page", "of an older page"])("keeps a receipt that came before the row, at every moment %s", (which) => {
    for (let at = 0; at < 100; at++) {
      const world = new World(at + 1);
      for (const id of ["a", "b", "c", "d", "e", "f", "g"]) world.publish(id);
      world.hear({ kind: "start" });
      if (which === "of an older page") world.pass(1_000);
      world.hear({ kind: "more" });
      world.pass(at);
      world.receive([which === "of an older page" ? "a" : "g"], "read");
      world.pass(2_000);
      expectSettled(world);
    }
  });

  // The first page can have an alert that its frame, a moment later, then does not make new.
  it("tells of an alert once that comes while the first page is on its way, at every moment", () => {
    for (let at = 0; at < 200; at++) {
      const world = new World(at + 1);
      world.publish("before");
      world.hear({ kind: "start" });
      world.pass(at);
      const isGreeted = world.state.current !== null;
      world.publish("meanwhile", "late");
      world.pass(2_000);
      const [before = 0, meanwhile = 0] = [world.news.get("before"), world.news.get("meanwhile")];
      expect([before, isGreeted ? meanwhile : 1], `after ${at} ms`).toEqual([0, 1]);
      expectSettled(world);
    }
  });

  it("does not dial when nobody asked, or after stop", () => {
    const world = new World(1);
    world.hear({ kind: "online" });
    world.pass(60_000);
    expect(world.dials).toEqual([]);
    world.hear({ kind: "start" });
    world.pass(1_000);
    world.hear({ kind: "stop" });
    world.pass(600_000);
    expect([world.dials.length, world.conns.size]).toEqual([1, 0]);
  });

  it("tells the truth without a network, and comes back at once with it", () => {
    const world = live();
    world.up = false;
    world.freeze();
    world.hear({ kind: "offline" });
    expect(status(world.state)).toBe("reconnecting");
    world.pass(4_000);
    expect(status(world.state)).toBe("offline");
    world.pass(300_000);
    world.publish("a");
    world.up = true;
    world.hear({ kind: "online" });
    world.pass(1_000);
    expect(status(world.state)).toBe("live");
    expect(world.news.get("a")).toBe(1);
    world.pass(700_000);
    expectSettled(world);
  });
});
