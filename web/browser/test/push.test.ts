/** Web Push: what our service worker makes of it, and the whole way there. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, ENGINE, states } from "../bed/bed.ts";
import { PushService } from "../bed/push.ts";
import { Up } from "../bed/server.ts";
import { until } from "../bed/until.ts";

let bed: Bed;
let browser: BrowserContext;
beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  await browser?.close();
  browser = await bed.browser.newContext();
  await browser.grantPermissions(["notifications"], { origin: bed.network.url });
});

const hasState = (page: Page, id: string, state: string) => until(`${id} is ${state}`, async () => (await states(page))[id] === state);

describe("the service worker", () => {
  let page: Page;
  let pushes: PushService;
  beforeEach(async () => {
    page = await bed.page(browser, { query: "manual-seen=" });
    pushes = await PushService.of(page);
    await page.evaluate(async () => { await navigator.serviceWorker.register("/push-worker.js"); await navigator.serviceWorker.ready; });
  });

  it("shows a push, replaces it by tag, withdraws it", async () => {
    await pushes.deliver({ alert: "a1", tag: "t1", title: "Disk full", body: "2 % left", url: null });
    expect(await pushes.shown()).toEqual([["Disk full", "t1"]]);
    await pushes.deliver({ alert: "a1", tag: "t1", title: "Disk fuller", body: null });
    expect(await pushes.shown()).toEqual([["Disk fuller", "t1"]]);
    await pushes.deliver({ withdraw: ["a1"], more: false });
    expect(await pushes.shown()).toEqual([]);
  });

  it("rings again for another alert under the same tag and for one grown worse, and for nothing else", async () => {
    for (const [why, alert, severity, rings] of [
      ["the first", "a1", "warning", false],
      ["the same, sent again", "a1", "warning", false],
      ["worse", "a1", "critical", true],
      ["better", "a1", "info", false],
      ["another alert that is no worse", "a2", "info", true],
      ["a new wording of that", "a2", "info", false],
    ] as const) {
      await pushes.deliver({ alert, tag: "disk", title: why, severity });
      expect(await pushes.renotifies("disk"), why).toBe(rings);
    }
    expect(await pushes.shown()).toEqual([["a new wording of that", "disk"]]);
  });

  it("takes pushes that come at once in their order", async () => {
    const alerts = Array.from({ length: 10 }, (_, at) => `a${at}`);
    await Promise.all(alerts.flatMap((alert, at) => [
      pushes.deliver({ alert, tag: alert, title: `Number ${at}` }),
      ...(at % 2 ? [pushes.deliver({ withdraw: [alert], more: false })] : []),
    ]));
    expect((await pushes.shown()).sort()).toEqual([0, 2, 4, 6, 8].map((at) => [`Number ${at}`, `a${at}`]));
  });

  it("a click opens the alert's address and marks it read, with a page of ours open and without", async () => {
    const here = await bed.server.send({ title: "Opened with a page" });
    await hasState(page, here, "new");
    await pushes.deliver({ alert: here, user: "ana", tag: "here", title: "Opened with a page", url: "https://example.com/42" });
    expect(await pushes.click("here")).toEqual(["https://example.com/42"]);
    await hasState(page, here, "read");

    await page.goto(`${bed.network.url}/healthz`); // No page of ours is open.
    const away = await bed.server.send({ title: "Opened without a page" });
    await pushes.deliver({ alert: away, user: "ana", tag: "away", title: "Opened without a page", url: "javascript:alert(1)" });
    expect(await pushes.click("away")).toEqual([]);
    await page.goBack();
    await hasState(page, away, "read");
    expect(await pushes.shown()).toEqual([]);
  });

  it("a click of one person is not said as the one who signs in next", async () => {
    const both = await bed.server.send({ users: ["ana", "ben"], title: "For both" });
    await hasState(page, both, "new");
    await page.goto(`${bed.network.url}/healthz`); // Ana has left, and her notification is still there.
    await pushes.deliver({ alert: both, user: "ana", tag: "both", title: "For both", url: "https://example.com/42" });
    await pushes.click("both");
    const bens = await bed.page(browser, { user: "ben", query: "manual-seen=" });
    await hasState(bens, both, "new");
    await until("ana's click is forgotten", () => bens.evaluate(async () => (await (await caches.open("watchbell-opened")).keys()).length === 0));
    for (const user of ["ana", "ben"]) {
      const row = (await bed.server.inbox(user)).alerts.find(({ alert }) => alert.id === both);
      expect(row?.state, user).toBe("new");
    }
  });
});

// `up` sends to browsers by its simulator, which takes in only what it can decrypt with the keys that the browser gave.
describe.runIf(ENGINE === "embedded")("from the server to the screen", () => {
  const toBrowser = async (alert: string, name: string, withdrawal = false) =>
    until(`a ${withdrawal ? "withdrawal" : "push"} arrives`, async () => (await bed.server.arrivals(alert)).find((one) => one.kind === "webpush" && one.to === name && one.withdrawal === withdrawal));

  it("an alert that nobody saw is sent encrypted, shown, replaced by tag, opened with a click, and withdrawn", async () => {
    // No vendor's push service is there: the browser subscribes with the simulator's instead. All else is as it is.
    await browser.addInitScript((authorization) => {
      PushManager.prototype.subscribe = async (options) => {
        Object.assign(window, { subscribedWith: options?.applicationServerKey });
        const subscription = await (await fetch("/simulator/webpush/chromium", { headers: { authorization } })).json();
        return { toJSON: () => subscription } as PushSubscription;
      };
    }, `Bearer ${bed.server.key}`);
    const page = await bed.page(browser, { query: "manual-seen=&push-worker=/push-worker.js" });
    const pushes = await PushService.of(page);
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("checkbox", { name: "Notify me when this page is closed" }).check();
    const devices = () => page.evaluate(async () => (await window.client.request<{ devices: { service: string }[] }>("GET", "/v1/devices")).devices.map(({ service }) => service));
    await until("the browser is a device", async () => (await devices()).includes("webpush"));
    expect(await page.evaluate(async () => (await window.client.request<{ key: string }>("GET", "/v1/webpush/key")).key)).toBe(await page.evaluate(() => (window as { subscribedWith?: unknown }).subscribedWith));

    const first = await bed.server.send({ title: "Disk full", body: "2 % left", severity: "critical", collapse_key: "disk" });
    const push = await toBrowser(first, "chromium");
    expect(push.headers["content-encoding"]).toBe("aes128gcm");
    expect(push.headers["urgency"]).toBe("high");
    await pushes.deliver(push.payload);
    expect(await pushes.shown()).toEqual([["Disk full", "disk"]]);

    const second = await bed.server.send({ title: "Disk fuller", severity: "critical", collapse_key: "disk" });
    await pushes.deliver((await toBrowser(second, "chromium")).payload);
    expect(await pushes.shown()).toEqual([["Disk fuller", "disk"]]);

    const opened = await bed.server.send({ title: "Click me", url: "https://example.com/42" });
    await pushes.deliver((await toBrowser(opened, "chromium")).payload);
    expect(await pushes.click(opened)).toEqual(["https://example.com/42"]);
    await until("the server has it as read", async () => (await bed.server.inbox()).alerts.find(({ alert }) => alert.id === opened)?.state === "read");

    await page.evaluate((second) => window.client.say([second], "seen"), second);
    await pushes.deliver((await toBrowser(second, "chromium", true)).payload);
    expect(await pushes.shown()).toEqual([]);

    await page.getByRole("checkbox", { name: "Notify me when this page is closed" }).uncheck();
    await until("the browser is no device", async () => !(await devices()).includes("webpush"));
  });

  it("lasts: with the page open, hidden, closed, and opened again after 61 days", async () => {
    const DAYS_61_MS = 61 * 24 * 60 * 60 * 1000;
    const query = "push-worker=/push-worker.js";
    // The simulator's browser is bound to the key that it subscribes with, as those of vendors are.
    await browser.addInitScript((authorization) => {
      PushManager.prototype.subscribe = async (options) => {
        const key = String(options?.applicationServerKey);
        const subscription = await (await fetch(`/simulator/webpush/lasting?key=${key}`, { headers: { authorization } })).json();
        return { toJSON: () => subscription } as PushSubscription;
      };
    }, `Bearer ${bed.server.key}`);
    const page = await bed.page(browser, { user: "ben", query });
    const pushes = await PushService.of(page);
    const bell = page.getByRole("button", { name: /^Alerts/ });
    await bell.click();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("checkbox", { name: "Notify me when this page is closed" }).check();
    const device = await until("the browser is a device", async () => page.evaluate(async () => {
      const id = localStorage.getItem("watchbell device");
      const { devices } = await window.client.request<{ devices: { device: string }[] }>("GET", "/v1/devices");
      return devices.some((one) => one.device === id) ? id : null;
    }));
    await page.getByRole("button", { name: "Settings" }).click();

    // Open, and the alert before one's eyes: nothing is shown beside it. Then looked away from, and then hidden: it is shown.
    const open = await bed.server.send({ users: ["ben"], title: "Open" });
    await hasState(page, open, "seen");
    const about = { user: "ben", alert: open, tag: open, title: "Open", unread: 1 };
    await pushes.deliver(about);
    expect(await pushes.shown()).toEqual([]);
    await page.keyboard.press("Escape");
    await pushes.deliver(about);
    expect(await pushes.shown()).toEqual([["Open", open]]);
    await pushes.deliver({ withdraw: [open], unread: 0, more: false });
    expect(await pushes.shown()).toEqual([]);
    await bell.click();
    await page.evaluate(() => { Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }); });
    await pushes.deliver(about);
    expect(await pushes.shown()).toEqual([["Open", open]]);

    // Closed: every push shows something, a withdrawal for a moment.
    await page.goto(`${bed.network.url}/healthz`);
    await pushes.deliver({ withdraw: [open], unread: 0, more: false });
    await until("the quiet one closed itself", async () => (await pushes.shown()).length === 0);

    // Months later the server has pruned the device, which this stands for: after how many days is a test of the pruner
    // (`workers/fallback/src/upkeep/device_pruner.rs`). The page is opened, and it is a device again.
    await page.request.delete(`${bed.network.url}/v1/devices/${device}`, { headers: { authorization: `Bearer ${bed.server.token("ben")}` } });
    await browser.addInitScript((later) => {
      const now = Date.now;
      Date.now = () => now() + later;
    }, DAYS_61_MS);
    const again = await bed.page(browser, { user: "ben", query });
    await until("it is a device again", () => again.evaluate(async (device) =>
      (await window.client.request<{ devices: { device: string }[] }>("GET", "/v1/devices")).devices.some((one) => one.device === device), device));
    await again.evaluate((device) => window.client.request("POST", `/v1/devices/${device}/test`), device);
    await until("a test reaches it", () => again.evaluate(async (device) =>
      (await window.client.request<{ test?: { outcome?: string } }>("GET", `/v1/devices/${device}`)).test?.outcome === "accepted", device));

    // The page is closed again, and the next alert is shown.
    await again.close();
    const after = await bed.server.send({ users: ["ben"], title: "After two months", severity: "critical" });
    await pushes.deliver((await toBrowser(after, "lasting")).payload);
    expect(await pushes.shown()).toEqual([["After two months", after]]);
  });

  it("a click on an alert without an address shows it in the page", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    const pushes = await PushService.of(page);
    await page.evaluate(async () => { await navigator.serviceWorker.register("/push-worker.js"); await navigator.serviceWorker.ready; });
    const id = await bed.server.send({ title: "Here it is" });
    await hasState(page, id, "new");
    await pushes.deliver({ alert: id, user: "ana", tag: id, title: "Here it is", url: null });
    expect(await pushes.click(id)).toEqual([]);
    await hasState(page, id, "read");
    await until("it has the focus", () => page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement?.textContent === "Here it is"));
  });

  it("a press on Acknowledge takes the alert on, and opens nothing", async () => {
    const up = await Up.configured(() => '[policies.team]\ngroup = "first_acknowledges"\nsteps = [{ channel = "push", after = "0s" }]\n');
    try {
      const page = await bed.page(browser, { query: "manual-seen=" });
      const pushes = await PushService.of(page);
      await page.evaluate(async () => { await navigator.serviceWorker.register("/push-worker.js"); await navigator.serviceWorker.ready; });
      // A browser of ana's, by the simulator of `up`.
      const subscription = await (await fetch(`http://${up.address}/simulator/webpush/acknowledging`, { headers: { authorization: `Bearer ${up.key}` } })).json();
      const headers = { authorization: `Bearer ${up.token("ana")}`, "content-type": "application/json" };
      const registered = await fetch(`http://${up.address}/v1/devices/browser`, { method: "PUT", headers, body: JSON.stringify({ service: "webpush", ...subscription }) });
      expect(registered.status, await registered.text()).toBe(204);
      const alert = await up.send({ users: ["ana", "ben"], title: "Who takes it?", policy: "team" });
      const push = await until("a push arrives", async () => (await up.arrivals(alert)).find((one) => one.kind === "webpush"));
      await pushes.deliver(push.payload);
      expect(await pushes.click(alert, "~acknowledge")).toEqual([]);
      await until("ana has it", async () => {
        const row = (await up.inbox("ben")).alerts.find((one) => one.alert.id === alert) as { alert: { acknowledgement?: { by?: string } } } | undefined;
        return row?.alert.acknowledgement?.by === "ana";
      });
    } finally {
      await up.close();
    }
  });

  it("the demo page registers this browser, and shows and withdraws what the server sends it", async () => {
    const origin = `http://${bed.server.address}`;
    await browser.grantPermissions(["notifications"], { origin });
    const page = await browser.newPage();
    await page.goto((bed.server as Up).printedAddress());
    await page.locator("watchbell-inbox .status[data-status=live]").waitFor();
    const pushes = await PushService.of(page);
    await page.getByRole("switch", { name: "Push to this browser as well as to the phone" }).check();
    await until("the worker is active", () => page.evaluate(async () => Boolean((await navigator.serviceWorker.ready).active)));
    const name = await page.evaluate(() => `ana.${localStorage.getItem("watchbell device")}`);

    const id = await bed.server.send({ title: "To this browser too" });
    await toBrowser(id, name);
    await pushes.displayed(1);
    expect(await pushes.shown()).toEqual([["To this browser too", id]]);
    const row = page.locator("watchbell-inbox .panel li", { hasText: "To this browser too" });
    await row.getByRole("button", { name: "Read" }).click();
    await toBrowser(id, name, true);
    await until("it is withdrawn", async () => (await pushes.shown()).length === 0);

    await page.getByRole("switch", { name: "Push to this browser as well as to the phone" }).uncheck();
    await until("it is off", () => page.evaluate(() => localStorage.getItem("watchbell demo pushed ana") === null));
  });
});
