/** What goes wrong on the way: the indicator tells the truth, and nothing is missed. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, shownStatus, states } from "../bed/bed.ts";
import { until } from "../bed/until.ts";

let bed: Bed;
let browser: BrowserContext;
beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  await browser?.close();
  browser = await bed.browser.newContext();
  bed.network.blocked.clear();
});

const has = (page: Page, id: string) => until(`${id} is shown`, async () => id in (await states(page)));
const toasted = (page: Page, id: string) => page.evaluate((id) => window.toasts.filter((one) => one === id).length, id);
const transport = (page: Page) => page.evaluate(() => window.client.snapshot.transport);

describe("outages", () => {
  it("the server is killed and comes back: reconnecting, then live, and what came meanwhile is toasted once", async () => {
    const page = await bed.page(browser);
    const before = await bed.server.send({ title: "Before the crash" });
    await has(page, before);
    await bed.server.end("SIGKILL");
    await until("it says so", async () => ["reconnecting", "offline"].includes(String(await shownStatus(page))));
    await bed.server.again();
    const after = await bed.server.send({ title: "After the crash" });
    await bed.status(page, "live");
    await has(page, after);
    await until("it is toasted", async () => (await toasted(page, after)) === 1);
    expect(await toasted(page, before)).toBe(1);
  });

  it("the server leaves (SIGTERM) and comes back: nothing is missed", async () => {
    const page = await bed.page(browser);
    await bed.server.end("SIGTERM");
    await bed.server.again();
    const id = await bed.server.send({ title: "After the drain" });
    await has(page, id);
    await bed.status(page, "live");
    await until("it is toasted", async () => (await toasted(page, id)) === 1);
  });

  it("the network goes and comes: not live without it, live with it, nothing missed", async () => {
    const page = await bed.page(browser);
    bed.network.cut();
    await browser.setOffline(true);
    await until("it says so", async () => ["reconnecting", "offline"].includes(String(await shownStatus(page))));
    await bed.status(page, "offline");
    const id = await bed.server.send({ title: "Into the tunnel" });
    bed.network.mend();
    await browser.setOffline(false);
    const back = Date.now();
    await bed.status(page, "live");
    expect(Date.now() - back).toBeLessThan(5_000);
    await has(page, id);
    await until("it is toasted", async () => (await toasted(page, id)) === 1);
    const all = await page.evaluate(() => window.statuses);
    expect(all.filter((status) => status === "live").length).toBe(2);
    expect(all).toContain("offline");
  });
});

describe("transports", () => {
  it.each([
    { blocked: ["ws"] as const, used: "sse" },
    { blocked: ["ws", "sse"] as const, used: "poll" },
  ])("with $blocked blocked the session goes by $used, both ways, and climbs back", async ({ blocked, used }) => {
    for (const one of blocked) bed.network.blocked.add(one);
    const page = await bed.page(browser);
    expect(await transport(page)).toBe(used);
    const ids: string[] = [];
    for (let round = 0; round < 3; round++) {
      const id = await bed.server.send({ title: `By ${used} ${round}` });
      ids.push(id);
      await has(page, id);
    }
    await page.evaluate((ids) => window.client.say(ids, "read"), ids);
    await until("the server has the receipt", async () => (await bed.server.inbox()).alerts.filter(({ alert }) => ids.includes(alert.id)).every(({ state }) => state === "read"));
    expect(await page.evaluate(() => window.statuses)).toEqual(expect.arrayContaining(["live"]));

    bed.network.blocked.clear();
    await until("it climbs back", async () => (await transport(page)) === "ws", 40_000);
    const statuses = await page.evaluate(() => window.statuses);
    expect(statuses.slice(statuses.indexOf("live"))).toEqual(["live"]);
    const last = await bed.server.send({ title: "By WebSocket again" });
    await has(page, last);
    expect(await toasted(page, last)).toBe(1);
  }, 90_000);

  it("falls back when WebSockets are blocked in the middle of a session", async () => {
    const page = await bed.page(browser);
    expect(await transport(page)).toBe("ws");
    bed.network.blocked.add("ws");
    bed.network.drop();
    await until("it goes by SSE", async () => (await transport(page)) === "sse");
    const id = await bed.server.send({ title: "Fallen back" });
    await has(page, id);
  });
});
