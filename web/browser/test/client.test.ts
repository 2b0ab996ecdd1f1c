/** The client alone, where something throws, hangs, answers nonsense or stands still: it goes on, and tells the truth. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Dialog, Page } from "playwright-core";
import type { Snapshot } from "@watchbell/client";
import { Bed } from "../bed/bed.ts";
import { until } from "../bed/until.ts";

let bed: Bed;
let browser: BrowserContext;
beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  bed.network.portal = null;
  bed.network.blocked.clear();
  await browser?.close();
  browser = await bed.browser.newContext();
});

/** What the page's client is made with, besides a quick backoff; `asks` counts calls of the token callback. */
interface Given { token: string; tabs?: string | false; topics?: string[]; url?: string }
declare global {
  interface Window { asks: number; errors: string[]; news: string[] }
}

/** Makes a client in the page and starts it. `answers` may stand in for the token callback. */
async function begin(page: Page, given: Partial<Given> = {}, callback = "given.token"): Promise<Page> {
  await page.evaluate(([given, callback]) => {
    Object.assign(window, { asks: 0, errors: [], news: [] });
    const answer = new Function("given", "nth", `return ${callback}`) as (given: Given, nth: number) => string;
    const client = new window.Watchbell({
      tabs: false, backoff: { attemptsMax: Infinity, waitMs: (attempt, random) => random() * Math.min(1_000, 100 * 2 ** attempt) },
      ...given, token: () => answer(given, ++window.asks),
    });
    window.client = client;
    client.on("error", (_, where) => window.errors.push(where));
    client.on("alert", ({ row, here }) => here && window.news.push(row.alert.id));
    client.start();
  }, [{ token: bed.server.token("ana"), ...given }, callback] as const);
  return page;
}

const snapshot = (page: Page): Promise<Snapshot> => page.evaluate(() => window.client.snapshot);
const becomes = (page: Page, wanted: Partial<Snapshot>, withinMs?: number) =>
  until(`it is ${JSON.stringify(wanted)}`, async () => {
    const now = await snapshot(page);
    return Object.entries(wanted).every(([key, value]) => now[key as keyof Snapshot] === value) || Promise.reject(new Error(JSON.stringify({ ...now, alerts: now.alerts.length })));
  }, withinMs);
const shows = (page: Page, id: string) => until(`${id} is shown`, async () => (await snapshot(page)).alerts.some((row) => row.alert.id === id));
const stateOf = async (id: string) => (await bed.server.inbox()).alerts.find(({ alert }) => alert.id === id)?.state;
const bare = async () => bed.barePage(browser);

describe("the page's own code", () => {
  it("may throw in every listener: it is reported, and the session goes on", async () => {
    const page = await begin(await bare());
    await becomes(page, { status: "live", loaded: true });
    await page.evaluate(() => {
      const thrower = () => { throw new Error("the page's own fault"); };
      window.client.on("alert", thrower);
      window.client.on("error", thrower);
      window.client.subscribe(thrower);
    });
    for (const title of ["First", "Second"]) await shows(page, await bed.server.send({ title }));
    expect(await page.evaluate(() => [...new Set(window.errors)].sort())).toEqual(["alert", "subscribe"]);
    await page.evaluate(() => { window.client.stop(); window.client.start(); });
    await becomes(page, { status: "live" });
  });

  it("may let the token hang or throw: it is asked again", async () => {
    const page = await bare();
    await page.clock.install();
    await begin(page, {}, 'nth === 1 ? new Promise(() => {}) : nth === 2 ? Promise.reject(new Error("no")) : given.token');
    expect(await snapshot(page)).toMatchObject({ status: "connecting" });
    await page.clock.runFor(15_000);
    await becomes(page, { status: "live" });
    expect(await page.evaluate(() => window.errors)).toEqual(["token"]);
  });

  it("signs out and in: it says so, and comes back when it is told", async () => {
    const page = await begin(await bare(), {}, "window.user ? given.token : null");
    await becomes(page, { status: "closed", reason: "signed-out" });
    await page.evaluate(() => { Object.assign(window, { user: "ana" }); window.client.signIn(); });
    await becomes(page, { status: "live", reason: null });
  });
});

describe("what answers in the server's place", () => {
  it("loses no receipt and no row: a page that asks to sign in is no answer, and is tried again", async () => {
    bed.network.blocked.add("ws");
    bed.network.portal = /^\/v1\/inbox/;
    const page = await bare();
    await page.clock.install();
    await begin(page);
    await becomes(page, { status: "live", transport: "sse", loaded: false });
    const id = await bed.server.send({ title: "Behind the sign-in page" });
    await shows(page, id);
    const posted = page.waitForResponse((response) => response.url().endsWith("/receipts"));
    await page.evaluate((id) => window.client.say([id], "dismissed"), id);
    await posted;
    expect(await page.evaluate(() => window.client.request("GET", "/v1/inbox").catch((error: { status: number }) => error.status))).toBe(0);
    bed.network.portal = null;
    bed.network.blocked.clear();
    await page.clock.runFor(10_000);
    await becomes(page, { status: "live", loaded: true, waiting: 0 });
    expect(await stateOf(id)).toBe("dismissed");
  });

  it("is told apart from a server that is not there, and a retry dials at once", async () => {
    bed.network.portal = /^\/v1\//;
    const page = await begin(await bare(), {});
    await becomes(page, { status: "offline", reason: "blocked" });
    bed.network.portal = null;
    await page.evaluate(() => window.client.retry());
    await becomes(page, { status: "live", reason: null });
  });
});

describe("the parts of the client", () => {
  it("come when they are needed; one that could not be loaded is loaded again, and what was said waits for it", async () => {
    const page = await bare();
    const loaded: string[] = [];
    page.on("response", (response) => loaded.push(response.url().split("/bare/")[1] ?? ""));
    let refusals = 1;
    await page.route("**/living.js", (route) => (refusals-- > 0 ? route.abort() : route.continue()));
    await page.clock.install();
    await begin(page);
    await becomes(page, { status: "live", loaded: true });
    const id = await bed.server.send({ title: "Said early" });
    await shows(page, id);
    await page.evaluate((id) => window.client.say([id], "read"), id);
    await until("it is told", () => page.evaluate(() => window.errors[0] === "living"));
    expect(await snapshot(page)).toMatchObject({ waiting: 1 });
    await page.clock.runFor(4_000);
    await becomes(page, { waiting: 0 });
    expect(await stateOf(id)).toBe("read");
    expect(loaded.filter((name) => name.endsWith(".js"))).toEqual(["living.js"]);
  });
});

describe("the server's bounds", () => {
  it("end no session of ours: long names, many topics, many receipts", async () => {
    const page = await begin(await bare(), { topics: Array.from({ length: 64 }, (_, at) => `${"t".repeat(190)}${at}`) });
    await becomes(page, { status: "live", loaded: true });
    await page.evaluate(() => {
      window.events = [];
      window.client.on("refused", ({ title }) => window.events.push(title));
      window.client.say(["x".repeat(20_000)], "read");
      window.client.say(Array.from({ length: 300 }, (_, at) => `${"a".repeat(180)}${at}`), "seen");
      window.client.topic("y".repeat(20_000), () => undefined);
      for (let at = 0; at < 100; at++) window.client.topic(`monitor:${at}`, () => undefined);
    });
    const id = await bed.server.send({ title: "Still here" });
    await shows(page, id);
    await page.evaluate((id) => window.client.say([id], "dismissed"), id);
    await until("it is dismissed", async () => (await stateOf(id)) === "dismissed");
    expect(await snapshot(page)).toMatchObject({ status: "live", ended: null });
    expect(await page.evaluate(() => window.events.slice(0, 2))).toEqual(["an alert's name", "a topic"]);
  });
});

describe("a clock that is wrong", () => {
  it("asks for no token more often than tokens live", async () => {
    const page = await bare();
    const token = bed.server.token("ana");
    const { exp } = JSON.parse(atob(token.split(".")[1] ?? "")) as { exp: number };
    await page.clock.install({ time: exp * 1_000 + 3_600_000 });
    await begin(page);
    await becomes(page, { status: "live" });
    await page.clock.runFor(60_000);
    expect(await page.evaluate(() => window.asks)).toBe(1);
  });

  it("that is set while it runs, either way, ends nothing", async () => {
    const page = await bare();
    await page.clock.install();
    await begin(page);
    await becomes(page, { status: "live", loaded: true });
    const first = await bed.server.send({ title: "Said of often" });
    await shows(page, first);
    for (const hours of [26, -26]) {
      // So much was said by the time of before that more has to wait a moment: by the new time, for a day.
      await page.evaluate((id) => { for (let at = 0; at < 10; at++) window.client.say([id], at % 2 ? "unread" : "read"); }, first);
      await page.evaluate((hours) => { const { now } = Date; Date.now = () => now.call(Date) + hours * 3_600_000; }, hours);
      await page.clock.runFor(2_000);
      const id = await bed.server.send({ title: "At another time" });
      await shows(page, id);
      await page.evaluate((id) => window.client.say([id], "dismissed"), id);
      await page.clock.runFor(2_000);
      await until("it is dismissed", async () => (await stateOf(id)) === "dismissed");
    }
    expect(await page.evaluate(() => window.errors)).toEqual([]);
  });
});

describe("a page that goes", () => {
  it("leaves no receipt behind, and says each once", async () => {
    const page = await begin(await bare());
    await becomes(page, { status: "live", loaded: true });
    const ids = await Promise.all(Array.from({ length: 30 }, (_, at) => bed.server.send({ title: `Leaving ${at}` })));
    for (const id of ids) await shows(page, id);
    const posts: string[][] = [];
    page.on("request", (request) => { if (request.url().endsWith("/receipts")) posts.push((request.postDataJSON() as { alerts: string[] }).alerts); });
    await page.evaluate((ids) => { for (const id of ids) window.client.say([id], "read"); }, ids);
    await page.goto("about:blank");
    await until("the server has all", async () => {
      const { alerts } = await bed.server.inbox();
      return ids.every((id) => alerts.some(({ alert, state }) => alert.id === id && state === "read"));
    });
    expect(posts.flat().sort()).toEqual([...new Set(posts.flat())].sort());
  });
});

describe("tabs", () => {
  const tab = async (given: Partial<Given> = {}) => begin(await bare(), { tabs: "ana", ...given });

  it("replace a leader that stands still; it notices, and each alert is shown once", async () => {
    const leader = await tab();
    await becomes(leader, { status: "live", leads: true, loaded: true });
    const follower = await tab();
    await becomes(follower, { status: "live", leads: false, loaded: true });
    const before = await bed.server.send({ title: "Before it stood still" });
    for (const page of [leader, follower]) await shows(page, before);
    const dialog = new Promise<Dialog>((resolve) => leader.once("dialog", resolve));
    await leader.evaluate(() => { setTimeout(() => alert("Standing still"), 0); });
    const open = await dialog;
    const stoodStillAt = Date.now();
    // What is said to the leader that stands still reaches the server by the next one.
    await follower.evaluate((id) => window.client.say([id], "dismissed"), before);
    const meanwhile = await bed.server.send({ title: "Meanwhile", severity: "critical" });
    await becomes(follower, { leads: true, status: "live" });
    expect(Date.now() - stoodStillAt).toBeLessThan(8_000);
    await shows(follower, meanwhile);
    await until("it is dismissed", async () => (await stateOf(before)) === "dismissed");
    await open.accept();
    await becomes(leader, { leads: false, status: "live" });
    await shows(leader, meanwhile);
    const after = await bed.server.send({ title: "After" });
    for (const page of [leader, follower]) await shows(page, after);
    const shown = (await Promise.all([leader, follower].map((page) => page.evaluate(() => window.news)))).flat();
    for (const id of [before, meanwhile, after]) expect(shown.filter((one) => one === id)).toEqual([id]);
  });

  it("lead where the leader's user signed out, and its own did not", async () => {
    const first = await begin(await bare(), { tabs: "ana" }, "window.left ? null : given.token");
    await becomes(first, { status: "live", leads: true });
    const second = await tab();
    await becomes(second, { status: "live", leads: false });
    await first.evaluate(() => { Object.assign(window, { left: true }); window.client.signIn(); });
    await becomes(second, { status: "live", leads: true });
    await becomes(first, { status: "live", leads: false });
  });

  it("share small values, also with one that comes later", async () => {
    const first = await tab();
    await first.evaluate(() => window.client.shared("undo").set({ alerts: ["a"] }));
    const second = await tab();
    await until("it has the value", () => second.evaluate(() => JSON.stringify(window.client.shared("undo").get()) === '{"alerts":["a"]}'));
    await second.evaluate(() => {
      const undo = window.client.shared<null>("undo");
      window.events = [];
      undo.subscribe(() => window.events.push(undo.get()));
      undo.set(null);
    });
    await until("the first has it", () => first.evaluate(() => window.client.shared("undo").get() === null));
    expect(await second.evaluate(() => window.events)).toEqual([null]);
  });

  it.each([
    ["locks are refused", "navigator.locks.request = () => Promise.reject(new DOMException('no', 'SecurityError'))", ["tabs"]],
    ["a channel cannot be opened", "window.BroadcastChannel = class { constructor() { throw new DOMException('no', 'SecurityError'); } }", ["tabs"]],
    ["there are no locks", "delete Navigator.prototype.locks", []],
  ])("are each on their own where %s", async (_, broken, errors) => {
    await browser.addInitScript(broken);
    const [first, second] = [await tab(), await tab()];
    for (const page of [first, second]) await becomes(page, { status: "live", leads: true });
    expect(await first.evaluate(() => window.errors)).toEqual(errors);
  });

  it("of a frame in a sandbox say that its origin is refused", async () => {
    const page = await bare();
    const { url } = bed.network;
    const token = bed.server.token("ana");
    await page.evaluate(async ({ url, token }) => {
      const code = (await (await fetch("/bare/whole.js")).text()).replaceAll("</script", "<\\/script");
      const frame = document.createElement("iframe");
      frame.setAttribute("sandbox", "allow-scripts");
      frame.srcdoc = `<script type="module">
        ${code}
        const client = new window.Watchbell({ url: "${url}", token: () => "${token}", tabs: "ana", backoff: { attemptsMax: Infinity, waitMs: () => 100 } });
        client.subscribe(() => parent.postMessage({ status: client.snapshot.status, reason: client.snapshot.reason }, "*"));
        client.start();
      </script>`;
      window.events = [];
      addEventListener("message", ({ data }) => window.events.push(data));
      document.body.append(frame);
    }, { url, token });
    await until("it says why", () => page.evaluate(() => JSON.stringify(window.events.at(-1)) === '{"status":"offline","reason":"origin"}'));
  });
});
