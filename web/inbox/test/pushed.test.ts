/** The service worker's decisions, over a browser that is made up: what is shown, to whom, and where a click leads. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

interface Shown { title: string; tag: string; silent?: boolean; data: unknown; close(): void }
type Page = { url: string; visibilityState: string; focus: () => Promise<void>; postMessage: (message: { watchbell: string }, ports?: MessagePort[]) => void };

let shown: Shown[];
let pages: Page[];
let done: string[];
let subscribed: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  [shown, pages, done, subscribed] = [[], [], [], []];
  const getNotifications = async ({ tag }: { tag?: string } = {}) => shown.filter((one) => tag === undefined || one.tag === tag);
  const showNotification = async (title: string, options: { tag: string; data: unknown }) => {
    shown = shown.filter(({ tag }) => tag !== options.tag);
    const one: Shown = { title, ...options, close: () => { shown = shown.filter((other) => other !== one); } };
    shown.push(one);
  };
  vi.stubGlobal("caches", { open: async () => ({ put: async () => undefined }) });
  vi.stubGlobal("self", {
    registration: { getNotifications, showNotification, pushManager: { subscribe: async (options: unknown) => { subscribed.push(options); } } },
    clients: { matchAll: async () => pages, openWindow: async (url: string) => { done.push(`open ${url}`); } },
    location: { origin: "https://a.example" },
    navigator: { language: "de-AT", setAppBadge: async (count: number) => { done.push(`badge ${count}`); } },
  });
});
afterEach(() => { vi.useRealTimers(); vi.unstubAllGlobals(); vi.resetModules(); });

/** A page that answers the worker's questions, or does not. */
function page(name: string, answers: Record<string, unknown>, more: Partial<Page> = {}): Page {
  const postMessage: Page["postMessage"] = ({ watchbell }, ports) => {
    if (ports && watchbell in answers) ports[0]?.postMessage(answers[watchbell]);
    if (!ports && watchbell !== "opened") done.push(`${name}: ${watchbell}`);
  };
  return { url: `https://a.example/${name}`, visibilityState: "visible", focus: async () => { done.push(`focus ${name}`); }, postMessage, ...more };
}

/** Runs it to its end, timers included, up to this time. */
async function during<T>(work: Promise<T>, ms = 1_000): Promise<T> {
  let isDone = false;
  const ended = work.finally(() => { isDone = true; });
  // The answers of pages come by real channels, beside the clock.
  for (let spent = 0; !isDone && spent < ms; spent += 50) {
    await new Promise((resolve) => { setImmediate(resolve); });
    await vi.advanceTimersByTimeAsync(isDone ? 0 : 50);
  }
  return ended;
}
const setImmediate = globalThis.setImmediate;

const disk = { alert: "disk", user: "ana", tag: "disk", title: "Disk full", unread: 3 };

describe("an alert", () => {
  it.each([
    ["is shown when no page is open", [], 1],
    ["is shown when nobody looks at it", [page("a", { looking: false })], 1],
    ["is not shown while somebody looks at it", [page("a", { looking: false }), page("b", { looking: true })], 0],
    ["is shown when the page that has it is hidden", [page("a", { looking: true }, { visibilityState: "hidden" })], 1],
    ["is shown when a page of an earlier version does not answer", [page("a", {})], 1],
  ])("%s", async (_why, open, count) => {
    pages = open;
    const { inTurn } = await import("../src/pushed.ts");
    await during(inTurn(disk));
    expect([shown.length, done]).toEqual([count, ["badge 3"]]);
  });
});

describe("a withdrawal", () => {
  it.each([
    ["shows something quiet, which closes itself, when nothing is left", ["disk"], [], ["Nicht mehr offen"], []],
    ["shows nothing while a page is visible", ["disk"], [page("a", {})], [], []],
    ["shows nothing when something else is left", ["disk"], [], ["Door open"], ["Door open"]],
  ])("%s", async (why, alerts, open, first, later) => {
    const { inTurn } = await import("../src/pushed.ts");
    await during(inTurn(disk));
    if (why.includes("else")) await during(inTurn({ ...disk, alert: "door", tag: "door", title: "Door open" }));
    pages = open;
    await inTurn({ withdraw: alerts, unread: 0 });
    expect(shown.map(({ title }) => title)).toEqual(first);
    for (const { title, silent } of shown) expect(silent ?? false).toBe(title === "Nicht mehr offen");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(shown.map(({ title }) => title)).toEqual(later);
    expect(done[done.length - 1]).toBe("badge 0");
  });
});

describe("a click", () => {
  const anas = () => page("anas", { whose: "ana" });
  const bens = () => page("bens", { whose: "ben" });
  it.each([
    ["shows the alert in a page of that person", [bens(), anas()], {}, ["anas: show", "focus anas"]],
    ["in the last used of several", [page("later", { whose: "ana" }), anas()], {}, ["later: show", "focus later"]],
    ["in whichever page there is, when none answers", [page("old", {})], {}, ["old: show", "focus old"]],
    ["goes to the tab that has the address", [anas(), page("there", {}, { url: "https://example.org/7" })], { url: "https://example.org/7" }, ["focus there"]],
    ["opens the address", [anas()], { url: "https://example.org/7" }, ["open https://example.org/7"]],
    ["opens the page of alerts where there is none", [], { page: "https://a.example/alerts#watchbell=disk" }, ["open https://a.example/alerts#watchbell=disk"]],
    ["or the site", [], {}, ["open https://a.example"]],
  ])("%s", async (_why, open, more, expected) => {
    pages = open;
    const { open: clicked } = await import("../src/pushed.ts");
    await during(clicked({ alert: "disk", user: "ana", ...more }));
    expect(done).toEqual(expected);
  });
});

describe("a subscription that the browser changed", () => {
  it.each([
    ["is made anew as it was, and told to open pages", null, [{ userVisibleOnly: true }]],
    ["is told to open pages", {}, []],
  ])("%s", async (_why, newSubscription, expected) => {
    pages = [page("a", {})];
    const { resubscribe } = await import("../src/pushed.ts");
    const oldSubscription = { options: { userVisibleOnly: true } } as unknown as PushSubscription;
    await resubscribe({ oldSubscription, newSubscription: newSubscription as PushSubscription | null });
    expect([subscribed, done]).toEqual([expected, ["a: subscription"]]);
  });
});

describe("a browser that does not answer", () => {
  const never = () => new Promise<never>(() => undefined);
  const other = { ...disk, alert: "cpu", tag: "cpu", title: "CPU" };

  it.each([
    ["to a badge", (worker: { navigator: object }) => Object.assign(worker.navigator, { setAppBadge: never }), ["Disk full", "CPU"]],
    ["to one notification", (worker: { registration: { showNotification: (title: string, options: never) => Promise<void> } }) => {
      const { registration } = worker;
      const { showNotification } = registration;
      registration.showNotification = (title, options) => (title === "Disk full" ? never() : showNotification(title, options));
    }, ["CPU"]],
  ])("%s does not keep the next push waiting for ever", async (_, breaks, expected) => {
    breaks(self as never);
    const { inTurn } = await import("../src/pushed.ts");
    void inTurn(disk).catch(() => undefined);
    await during(inTurn(other), 60_000);
    expect(shown.map(({ title }) => title)).toEqual(expected);
  });

  it("to a cache opens the alert all the same", async () => {
    vi.stubGlobal("caches", { open: never });
    const { open } = await import("../src/pushed.ts");
    await during(open({ alert: "disk", user: "ana", url: "https://a.example/disk" }), 60_000);
    expect(done).toEqual(["open https://a.example/disk"]);
  });

  it("to a cache that it refuses opens the alert all the same", async () => {
    vi.stubGlobal("caches", { open: () => Promise.reject(new DOMException("no", "SecurityError")) });
    const { open } = await import("../src/pushed.ts");
    await during(open({ alert: "disk", user: "ana", url: "https://a.example/disk" }));
    expect(done).toEqual(["open https://a.example/disk"]);
  });
});

describe("a push that is none of ours", () => {
  const data = (text: string) => ({ json: () => JSON.parse(text) as unknown, text: () => text });

  it.each([
    ["a text", "Test push message", "Test push message"],
    ["half of an object", '{"alert": "di', '{"alert": "di'],
    ["a list", "[1]", "[1]"],
    ["nothing", "null", "null"],
    ["an object without what we need", '{"title": "Disk full"}', '{"title": "Disk full"}'],
    ["a withdrawal of what is no list", '{"withdraw": "disk"}', '{"withdraw": "disk"}'],
  ])("%s is shown as it is, because a browser counts a push that shows nothing", async (_, text, title) => {
    const { inTurn, saidBy } = await import("../src/pushed.ts");
    await during(inTurn(saidBy(data(text))));
    expect(shown.map((one) => [one.title, one.data])).toEqual([[title, {}]]);
  });

  it("of ours is read", async () => {
    const { saidBy } = await import("../src/pushed.ts");
    for (const said of [disk, { withdraw: ["disk"], unread: 0 }]) expect(saidBy(data(JSON.stringify(said)))).toEqual(said);
  });
});

