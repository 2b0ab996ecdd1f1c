/** The list of one's own against a scripted session and a scripted server: what it asks for, what it shows, and when. */
import { describe, expect, test } from "vitest";
import { REQUESTS_MAX, type ListQuery, belongs, listInbox } from "@watchbell/client/list";
import type { Alert, InboxState, Page, Row } from "../src/protocol.ts";
import { pageOf as page, rowOf as row } from "./rows.ts";
import { scripted } from "./session.ts";

describe("what belongs to a list", () => {
  const one = row(1, "seen", { title: "Störung in São Paulo", body: "db-7 is slow", source: "probe", category: "latency", severity: "warning", labels: { env: "prod" }, group_key: "k" } as Partial<Alert>);
  test.each<[why: string, query: ListQuery, is: boolean]>([
    ["nothing is asked for", {}, true],
    ["an empty search finds all", { q: " " }, true],
    ["words begin words, whatever their case and accents", { q: "stor SAO" }, true],
    ["the middle of a word is not found", { q: "aulo" }, false],
    ["each word has to be there", { q: "sao tokyo" }, false],
    ["the body counts", { q: "slow" }, true],
    ["so do source and category", { q: "probe lat" }, true],
    ["punctuation parts words", { q: "7" }, true],
    ["seen is unread", { state: "unread" }, true],
    ["seen is open", { state: "open" }, true],
    ["seen is not archived", { state: "archived" }, false],
    ["nor snoozed", { state: "snoozed" }, false],
    ["one of the severities", { severity: ["critical", "warning"] }, true],
    ["none of the severities", { severity: ["critical"] }, false],
    ["no severity is given: all", { severity: [] }, true],
    ["one of the categories", { category: ["latency"] }, true],
    ["none of the categories", { category: ["billing"] }, false],
    ["its label", { label: { env: "prod" } }, true],
    ["another value of its label", { label: { env: "test" } }, false],
    ["all labels have to be there", { label: { env: "prod", team: "a" } }, false],
    ["its group", { group: "k" }, true],
    ["another group", { group: "l" }, false],
    ["all that is asked for has to hold", { state: "unread", q: "sao", severity: ["info"] }, false],
  ])("%s", (_, query, is) => expect(belongs(one, query)).toBe(is));

  test.each<[InboxState, ListQuery["state"][]]>([
    ["new", ["unread", "open"]], ["seen", ["unread", "open"]], ["read", ["open"]], ["dismissed", ["archived"]], ["snoozed", ["snoozed"]],
  ])("a row that is %s", (state, lists) => {
    expect((["unread", "open", "archived", "snoozed"] as const).filter((one) => belongs(row(1, state), { state: one }))).toEqual(lists);
  });
});

const ids = (list: { snapshot: { rows: readonly Row[] } }) => list.snapshot.rows.map(({ alert }) => alert.id);

describe("paging", () => {
  test("nothing is asked before somebody subscribes, and then the query as the server takes it", async () => {
    const session = scripted([page(null, row(5))]);
    const list = listInbox(session.client, { q: "a b", state: "open", category: ["x", "y"], severity: ["critical"], label: { env: "prod" }, group: "g", limit: 20 });
    expect(session.asked).toEqual([]);
    list.subscribe(() => {});
    expect(list.snapshot).toMatchObject({ loading: true, rows: [], hasMore: false });
    await session.answered();
    const asked = new URL(session.asked[0] ?? "", "http://x");
    expect(asked.pathname).toBe("/v1/inbox");
    expect(Object.fromEntries(asked.searchParams)).toEqual({ q: "a b", state: "open", category: "x,y", severity: "critical", label: "env:prod", group: "g", limit: "20" });
  });

  test.each([[0, "1"], [-3, "1"], [2.5, "2"], [NaN, "1"], [200, "200"], [5_000, "200"]])("a limit of %s is asked for as %s", async (limit, asked) => {
    const session = scripted([page(null)]);
    listInbox(session.client, { limit }).subscribe(() => {});
    await session.answered();
    expect(session.asked).toEqual([`/v1/inbox?limit=${asked}`]);
  });

  test("the next page begins where the last one said, and the end is known", async () => {
    const session = scripted([page("4:a4", row(5), row(4)), page(null, row(3))]);
    const list = listInbox(session.client);
    list.subscribe(() => {});
    await session.answered();
    expect(list.snapshot).toMatchObject({ loading: false, hasMore: true });
    await list.more();
    expect(session.asked[1]).toBe("/v1/inbox?before=4%3Aa4");
    expect(ids(list)).toEqual(["a5", "a4", "a3"]);
    expect(list.snapshot.hasMore).toBe(false);
    await list.more();
    expect(session.asked.length).toBe(2);
  });

  test("pages without a row of the list are passed over, so many at a time", async () => {
    const empty = Array.from({ length: REQUESTS_MAX }, (_, at) => page(100 - at));
    const session = scripted([...empty, page(50), page(null, row(40))]);
    const list = listInbox(session.client);
    list.subscribe(() => {});
    await session.answered(REQUESTS_MAX);
    expect(list.snapshot).toMatchObject({ loading: false, hasMore: true, rows: [] });
    await list.more();
    expect(ids(list)).toEqual(["a40"]);
  });

  test("of two answers only the one that was asked for last counts", async () => {
    const session = scripted([]);
    const list = listInbox(session.client);
    list.subscribe(() => {});
    void list.refresh();
    session.answer(1, page(null, row(7)));
    await session.answered(1);
    session.answer(0, page(null, row(3)));
    await session.answered(2);
    expect(ids(list)).toEqual(["a7"]);
  });

  test("a failure is told, and made good when the session is live again", async () => {
    const session = scripted([new Error("no network"), page(null, row(1))]);
    const list = listInbox(session.client);
    list.subscribe(() => {});
    await session.answered();
    expect(list.snapshot.error?.message).toBe("no network");
    session.set({ status: "reconnecting" });
    session.set({ status: "live" });
    await session.answered(2);
    expect(list.snapshot.error).toBe(null);
    expect(ids(list)).toEqual(["a1"]);
  });

  test("whoever subscribes twice, as React's strict mode does, asks once", async () => {
    const session = scripted([page(null, row(1))]);
    const list = listInbox(session.client);
    list.subscribe(() => {})();
    list.subscribe(() => {});
    await session.answered();
    expect(session.asked.length).toBe(1);
    expect(ids(list)).toEqual(["a1"]);
  });
});

describe("kept true by the session", () => {
  const listed = async (query: ListQuery, ...pages: (Page | Error)[]) => {
    const session = scripted(pages);
    const list = listInbox(session.client, query);
    let changes = 0;
    const stop = list.subscribe(() => changes++);
    await session.answered();
    return { session, list, stop, changes: () => changes };
  };

  test("what comes joins where it belongs, and leaves when it does not belong any more", async () => {
    const { session, list, changes } = await listed({ state: "unread" }, page(null, row(5)));
    const before = changes();
    session.set({ alerts: [row(6), row(7, "dismissed")] });
    expect(ids(list)).toEqual(["a6", "a5"]);
    expect(changes()).toBeGreaterThan(before);
    session.set({ alerts: [{ ...row(6), seq: 8, state: "read" }] });
    expect(ids(list)).toEqual(["a5"]);
  });

  test("a row that only the session has waits until its page was fetched", async () => {
    const { session, list } = await listed({}, page(5, row(6), row(5)), page(null, row(4), row(3)));
    session.set({ alerts: [row(3)] });
    expect(ids(list)).toEqual(["a6", "a5"]);
    await list.more();
    expect(ids(list)).toEqual(["a6", "a5", "a4", "a3"]);
  });

  test("the newer of the page's and the session's counts", async () => {
    const { session, list } = await listed({}, page(null, row(5, "read")));
    session.set({ alerts: [{ ...row(5), seq: 4 }] });
    expect(list.snapshot.rows[0]?.state).toBe("read");
    session.set({ alerts: [{ ...row(5), seq: 6, state: "dismissed" }] });
    expect(list.snapshot.rows[0]?.state).toBe("dismissed");
  });

  test("what is done shows at once, also in a row that the session does not hold, and the session is told", async () => {
    const { session, list } = await listed({ state: "open" }, page(null, row(5), row(4)), page(null, row(5), row(4)), page(null, { ...row(4), seq: 6, state: "new" }));
    list.say(["a5"], "read");
    list.say(["a4"], "dismissed");
    expect(list.snapshot.rows.map(({ alert, state }) => [alert.id, state])).toEqual([["a5", "read"]]);
    expect(session.said).toEqual([[["a5"], "read"], [["a4"], "dismissed"]]);
    // The server may not have written it yet.
    await list.refresh();
    expect(ids(list)).toEqual(["a5"]);
    // Whatever it says later counts.
    await list.refresh();
    expect(ids(list)).toEqual(["a4"]);
  });

  test("what the server refuses is taken back", async () => {
    const { session, list } = await listed({}, page(null, row(5)), page(null, row(5)));
    list.say(["a5"], "read");
    session.refuse("not now");
    await session.answered(2);
    expect(list.snapshot.rows[0]).toEqual(row(5));
  });

  test("of another person nothing stays", async () => {
    const { session, list } = await listed({}, page(3, row(5)), page(null, row(1)));
    session.set({ user: "ben" });
    expect(ids(list)).toEqual([]);
    await session.answered(2);
    expect(ids(list)).toEqual(["a1"]);
  });

  test("it is the same object until something changes, and silent when nobody listens", async () => {
    const { session, list, stop, changes } = await listed({}, page(null, row(5)));
    expect(list.snapshot).toBe(list.snapshot);
    stop();
    const before = changes();
    session.set({ alerts: [row(6)] });
    expect(changes()).toBe(before);
    expect(session.listeners()).toBe(0);
  });
});
