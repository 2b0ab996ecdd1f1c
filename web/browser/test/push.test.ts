/** Web Push: what our service worker makes of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, states } from "../bed/bed.ts";
import { PushService } from "../bed/push.ts";
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
    await pushes.deliver({ alert: here, tag: "here", title: "Opened with a page", url: "https://example.com/42" });
    expect(await pushes.click("here")).toEqual(["https://example.com/42"]);
    await hasState(page, here, "read");

    await page.goto(`${bed.network.url}/healthz`); // No page of ours is open.
    const away = await bed.server.send({ title: "Opened without a page" });
    await pushes.deliver({ alert: away, tag: "away", title: "Opened without a page", url: "javascript:alert(1)" });
    expect(await pushes.click("away")).toEqual([]);
    await page.goBack();
    await hasState(page, away, "read");
    expect(await pushes.shown()).toEqual([]);
  });
});
