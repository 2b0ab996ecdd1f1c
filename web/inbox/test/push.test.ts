/** A click on a notification is `read` by the person whom it was for, and by nobody else. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Snapshot, Watchbell } from "@watchbell/client";
import { OPENED_CACHE, type PushPage, hearPushWorker, noteOf } from "../src/push.ts";

/** A page of which nothing is asked but what a test says. */
const pageThat = (does: Partial<PushPage> = {}): PushPage => ({ show: () => undefined, isLookingAt: () => false, renew: () => undefined, isDevice: () => false, ...does });

/** What the service worker noted, as addresses. */
let noted: Set<string>;
let page: Window & EventTarget;
let worker: EventTarget;

beforeEach(() => {
  noted = new Set();
  page = new EventTarget() as Window & EventTarget;
  worker = new EventTarget();
  const whole = (request: string | { url: string }) => new URL(typeof request === "string" ? request : request.url, "https://a.example").href;
  vi.stubGlobal("caches", {
    open: async (name: string) => {
      expect(name).toBe(OPENED_CACHE);
      return {
        put: async (request: string) => { noted.add(whole(request)); },
        keys: async () => [...noted].map((url) => ({ url })),
        delete: async (request: { url: string }) => noted.delete(whole(request)),
      };
    },
  });
  vi.stubGlobal("window", page);
  vi.stubGlobal("navigator", { serviceWorker: worker });
  vi.stubGlobal("document", { visibilityState: "visible", hasFocus: () => true });
  vi.stubGlobal("location", { hash: "", pathname: "/", search: "" });
  const clients = { matchAll: async () => [{ focus: async () => undefined, postMessage: (data: unknown, ports: MessagePort[] = []) => worker.dispatchEvent(Object.assign(new Event("message"), { data, ports })) }], openWindow: async () => undefined };
  vi.stubGlobal("self", { clients });
});
afterEach(() => { vi.unstubAllGlobals(); vi.resetModules(); });

/** A session that does as it is told. */
function session() {
  const said: string[] = [];
  const changed = new Set<() => void>();
  let snapshot: Partial<Snapshot> = { status: "idle", user: null, ended: null };
  const client = {
    get snapshot() { return snapshot; },
    subscribe: (listener: () => void) => { changed.add(listener); return () => changed.delete(listener); },
    say: ([alert]: string[], state: string) => said.push(`${alert} ${state}`),
  } as unknown as Watchbell;
  const becomes = async (next: Partial<Snapshot>) => {
    snapshot = { ...snapshot, ended: null, ...next };
    for (const listener of changed) listener();
    await settled();
  };
  return { client, said, becomes };
}

/** Everything that was begun is done: the cache of this test answers at once. */
const settled = async () => { for (let turn = 0; turn < 100; turn++) await Promise.resolve(); };

const note = (user: string, alert: string) => noted.add(new URL(noteOf(user, alert), "https://a.example").href);

describe("what was opened while no page was there", () => {
  it("is read by the person whom it was for", async () => {
    for (const alert of ["disk", "a/b", "..", "100 %", "user=ben"]) note("ana", alert);
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ana" });
    expect(said.sort()).toEqual(["disk read", "a/b read", ".. read", "100 % read", "user=ben read"].sort());
    expect(noted.size).toBe(0);
  });

  it("is dropped when somebody else is here, and so is what does not say whose it is", async () => {
    note("ana", "disk");
    noted.add("https://a.example/disk");
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ben" });
    expect([said, noted.size]).toEqual([[], 0]);
  });

  it("waits until the server has said who this is", async () => {
    note("ana", "disk");
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "connecting", user: null });
    expect([said, noted.size]).toEqual([[], 1]);
    await becomes({ status: "live", user: "ana" });
    expect(said).toEqual(["disk read"]);
  });
});

describe("a change of person", () => {
  it("drops everything at sign-out", async () => {
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ana" });
    note("ana", "disk");
    await becomes({ status: "closed", user: "ana", ended: { why: "signed-out" } });
    expect([said, noted.size]).toEqual([[], 0]);
  });

  it("says nothing of the one before as the one who comes next", async () => {
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ana" });
    // A new token is asked for; the state still has the last user.
    await becomes({ status: "reconnecting", user: "ana" });
    note("ana", "disk");
    worker.dispatchEvent(Object.assign(new Event("message"), { data: { watchbell: "opened" } }));
    await settled();
    await becomes({ status: "live", user: "ben" });
    expect([said, noted.size]).toEqual([[], 0]);
  });

  it("keeps what a connection that was lost could not say", async () => {
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ana" });
    await becomes({ status: "closed", user: "ana", ended: { why: "gave-up" } });
    note("ana", "disk");
    await becomes({ status: "live", user: "ana" });
    expect(said).toEqual(["disk read"]);
  });
});

describe("what is asked of a page", () => {
  it("is answered by one that is looked at, of that person, with the alert before their eyes", async () => {
    const { client, becomes } = session();
    const renew = vi.fn();
    hearPushWorker(client, pageThat({ isLookingAt: (alert) => alert === "disk", renew }));
    await becomes({ status: "live", user: "ana" });
    const asked = (data: object) => {
      const answers: unknown[] = [];
      worker.dispatchEvent(Object.assign(new Event("message"), { data, ports: [{ postMessage: (answer: unknown) => answers.push(answer) }] }));
      return answers;
    };
    const looking = (alert: string, user: string) => asked({ watchbell: "looking", alert, user });
    expect([looking("disk", "ana"), looking("door", "ana"), looking("disk", "ben")]).toEqual([[true], [false], [false]]);
    vi.stubGlobal("document", { visibilityState: "visible", hasFocus: () => false });
    expect(looking("disk", "ana")).toEqual([false]);
    expect(asked({ watchbell: "whose" })).toEqual(["ana"]);
    asked({ watchbell: "subscription" });
    expect(renew).toHaveBeenCalledOnce();
  });

  it("is asked by its address once, when somebody is here, and says nothing of the alert", async () => {
    vi.stubGlobal("location", { hash: "#a=1&watchbell=disk%2F7", pathname: "/alerts", search: "?b" });
    const addresses: string[] = [];
    vi.stubGlobal("history", { state: null, replaceState: (_state: null, _title: string, address: string) => addresses.push(address) });
    const { client, said, becomes } = session();
    const show = vi.fn();
    hearPushWorker(client, pageThat({ show }));
    expect(show).not.toHaveBeenCalled();
    await becomes({ status: "live", user: "ana" });
    expect([show.mock.calls, addresses, said]).toEqual([[["disk/7"]], ["/alerts?b#a=1"], []]);
  });

  it("is the number on its icon, where this browser is a device", async () => {
    const setAppBadge = vi.fn(async () => undefined);
    vi.stubGlobal("navigator", { serviceWorker: worker, setAppBadge });
    const { client, becomes } = session();
    let isDevice = false;
    hearPushWorker(client, pageThat({ isDevice: () => isDevice }));
    await becomes({ status: "live", user: "ana", unread: 3 });
    isDevice = true;
    for (const unread of [3, 3, 2, 0]) await becomes({ status: "live", user: "ana", unread });
    expect(setAppBadge.mock.calls).toEqual([[3], [2], [0]]);
  });
});

describe("a click while a page is here", () => {
  it("is read at once when it is this person's, and is not this page's otherwise", async () => {
    const { open: clicked } = await import("../src/pushed.ts"); // It looks at `self` when it is loaded.
    const { client, said, becomes } = session();
    hearPushWorker(client, pageThat());
    await becomes({ status: "live", user: "ana" });
    for (const [user, alert] of [["ana", "disk"], ["ben", "door"], [undefined, "old"]] as const) {
      await clicked({ alert, ...(user ? { user } : {}), url: null });
      await settled();
    }
    expect(said).toEqual(["disk read"]);
    // Another tab may be ben's: a session that is under way leaves it to him.
    expect([...noted]).toEqual([new URL(noteOf("ben", "door"), "https://a.example").href]);
  });
});

describe("a button of a notification", () => {
  const answers_at = "https://alerts.example/v1/answers/token";
  const actions = [{ id: "approve", title: "Approve", answers: true }, { id: "runbook", title: "Runbook", url: "https://example.org/r" }, { id: "~acknowledge", title: "Acknowledge", acknowledges: true }];
  const pressed = async (id: string, shown: object, answer: () => Promise<unknown>) => {
    const asked: string[] = [];
    const opened: string[] = [];
    vi.stubGlobal("fetch", (url: string, { method }: { method: string }) => { asked.push(`${method} ${url}`); return answer(); });
    vi.stubGlobal("self", { clients: { matchAll: async () => [], openWindow: async (url: string) => opened.push(url) }, location: { origin: "https://a.example" } });
    const { press } = await import("../src/pushed.ts");
    await press({ alert: "disk", user: "ana", url: "https://example.org/disk", ...shown }, id);
    return [asked, opened, [...noted].length];
  };
  const posted = `POST ${answers_at}?action=approve`;
  it.each([
    ["one that answers says so, and opens nothing", "approve", { actions, answers_at }, true, [[posted], [], 0]],
    ["an answer that does not get there opens the alert", "approve", { actions, answers_at }, false, [[posted], ["https://example.org/disk"], 1]],
    ["one that leads somewhere opens that", "runbook", { actions, answers_at }, true, [[], ["https://example.org/r"], 1]],
    ["one that answers without an address opens the alert", "approve", { actions }, true, [[], ["https://example.org/disk"], 1]],
    ["one that acknowledges says so without an action", "~acknowledge", { actions, answers_at }, true, [[`POST ${answers_at}`], [], 0]],
    ["and without an address opens the alert", "~acknowledge", { actions }, true, [[], ["https://example.org/disk"], 1]],
    ["one that is not known opens the alert", "maybe", {}, true, [[], ["https://example.org/disk"], 1]],
  ])("%s", async (_why, id, shown, gets, expected) => {
    expect(await pressed(id, shown, () => (gets ? Promise.resolve() : Promise.reject(new Error("offline"))))).toEqual(expected);
  });
});
