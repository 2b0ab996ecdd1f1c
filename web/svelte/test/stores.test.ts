/** The Svelte stores over a session whose answers are written down before. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Readable, acts, alerts, connection, inbox, topic, unread } from "@watchbell/svelte";
import { pageOf, rowOf } from "../../client/test/rows.ts";
import { scripted } from "../../client/test/session.ts";

beforeEach(() => { vi.stubGlobal("window", {}); });
afterEach(() => { vi.unstubAllGlobals(); });

/** Every value that a store told, in order. */
function told<T>(store: Readable<T>) {
  const values: T[] = [];
  return { values, stop: store.subscribe((value) => values.push(value)) };
}

test("the inbox, the badge and the connection follow the session; what did not change is not told again", () => {
  const session = scripted();
  const [rows, badge, status] = [told(alerts(session.client)), told(unread(session.client)), told(connection(session.client))];
  const two = [rowOf(2), rowOf(1)];
  session.set({ unread: 2, alerts: two });
  session.set({ status: "offline" });
  session.set({ waiting: 1 });
  expect(rows.values).toEqual([[], two]);
  expect(badge.values).toEqual([0, 2]);
  expect(status.values.map((one) => one.status)).toEqual(["live", "offline"]);
  for (const { stop } of [rows, badge, status]) stop();
  expect(session.listeners()).toBe(0);
});

test("a list of one's own: pages, and what is done at once", async () => {
  const session = scripted([pageOf(2, rowOf(3), rowOf(2)), pageOf(null, rowOf(1))]);
  const list = inbox(session.client, { state: "unread" });
  const { values, stop } = told(list);
  const shown = () => values.at(-1)?.rows.map(({ alert }) => alert.id);
  await session.answered();
  expect(shown()).toEqual(["a3", "a2"]);
  await list.more();
  expect(shown()).toEqual(["a3", "a2", "a1"]);
  list.read("a3");
  expect(shown()).toEqual(["a2", "a1"]);
  expect(session.said).toEqual([[["a3"], "read"]]);
  stop();
  expect(session.listeners()).toBe(0);
});

test("what can be done without a list", () => {
  const session = scripted();
  const { seen, snooze } = acts(session.client.say);
  seen("a1", "a2");
  snooze(new Date(0), "a3");
  expect(session.said).toEqual([[["a1", "a2"], "seen"], [["a3"], "snoozed", new Date(0)]]);
});

test("a topic's last events", () => {
  const session = scripted();
  const { values, stop } = told(topic(session.client, "monitor:7", 2));
  const event = (data: string) => ({ topic: "monitor:7", data });
  session.publish({ type: "snapshot", topic: "monitor:7", events: [event("a"), event("b"), event("c")] });
  session.publish({ type: "event", topic: "monitor:7", event: event("d") });
  expect(values.map((events) => events.map(({ data }) => data))).toEqual([[], ["b", "c"], ["c", "d"]]);
  stop();
  expect(session.listeners()).toBe(0);
});

test("a server is told what is known once, subscribes to nothing and asks for nothing", () => {
  vi.unstubAllGlobals();
  const session = scripted();
  expect(told(unread(session.client)).values).toEqual([0]);
  expect(told(inbox(session.client)).values).toEqual([{ rows: [], loading: false, error: null, hasMore: false }]);
  expect([session.asked, session.listeners()]).toEqual([[], 0]);
});
