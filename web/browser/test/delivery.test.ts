/** What a person notices: how fast, how exact, in how many tabs. `WATCHBELL_BROWSER=full` has five times as many random operations. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, badge, states } from "../bed/bed.ts";
import { until } from "../bed/until.ts";

let bed: Bed;
let contexts: BrowserContext[] = [];
const context = async () => {
  const made = await bed.browser.newContext();
  contexts.push(made);
  return made;
};

beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  await Promise.all(contexts.map((one) => one.close()));
  contexts = [];
  // Their connections close a moment after they do, and one that is counted below must not be one of those.
  await until("nobody is connected", async () => bed.network.open === 0);
});

/** Random operations on the badge, and after how many of them everything is compared. */
const OPERATIONS = process.env["WATCHBELL_BROWSER"] === "full" ? 1_000 : 200;
const OPERATIONS_PER_COMPARISON = 50;

const percentile = (values: number[], share: number) => [...values].sort((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? NaN;
const hasState = (page: Page, id: string, state: string) => until(`${id} is ${state}`, async () => (await states(page))[id] === state);

describe("speed", () => {
  it("a toast within 2 s of the alert's acceptance, here and in another browser", async () => {
    const pages = [await bed.page(await context()), await bed.page(await context())];
    let slowest = 0;
    for (let round = 0; round < 5; round++) {
      const id = await bed.server.send({ title: `Toast ${round}` });
      const accepted = Date.now();
      await Promise.all(pages.map((page) => page.waitForFunction((title) => document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".toasts")?.textContent.includes(title), `Toast ${round}`)));
      slowest = Math.max(slowest, Date.now() - accepted);
      await hasState(pages[0] as Page, id, "new");
    }
    console.warn(`toast after its alert was accepted: ${slowest} ms at the most; the aim is 2,000`);
  });

  // Beside the floor of the same machine at the same time: a bare request of that page to the same server. Three browsers
  // take turns, because nobody dismisses more than the ten a second that a client says.
  it("what is dismissed in one browser shows in another, and how long that takes is told", async () => {
    const pages = [await bed.page(await context()), await bed.page(await context()), await bed.page(await context())];
    const took: number[] = [];
    const floor: number[] = [];
    for (let round = 0; round < 100; round++) {
      const [here, there] = [pages[round % 3], pages[(round + 1) % 3]] as [Page, Page];
      const id = await bed.server.send({ title: `Dismiss ${round}` });
      await Promise.all([hasState(here, id, "new"), hasState(there, id, "new")]);
      const said = await here.evaluate((id) => {
        window.client.say([id], "dismissed");
        return performance.timeOrigin + performance.now();
      }, id);
      await hasState(there, id, "dismissed");
      const shown = await there.evaluate((id) => window.changes.find(({ states }) => states[id] === "dismissed")?.at ?? NaN, id);
      took.push(shown - said);
      floor.push(await there.evaluate(async () => {
        const began = performance.now();
        await fetch("/healthz");
        return performance.now() - began;
      }));
    }
    const p = (values: number[], share: number) => percentile(values, share).toFixed(1);
    console.warn(`dismiss to the other browser, ms: p50 ${p(took, 0.5)}, p95 ${p(took, 0.95)}, max ${p(took, 1)}; floor p50 ${p(floor, 0.5)}, p95 ${p(floor, 0.95)}, max ${p(floor, 1)}`);
    // Told, not judged: the aim is 100 ms at the 95th percentile, and a busy machine misses it by itself.
    expect(took.every(Number.isFinite)).toBe(true);
  });
});

describe("the badge", () => {
  it("is exact through random operations in 3 tabs and 2 browsers", async () => {
    const [one, two] = [await context(), await context()];
    const pages = [await bed.page(one, { user: "ben" }), await bed.page(one, { user: "ben" }), await bed.page(two, { user: "ben" })];
    let seed = 20_261_121;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
      return seed % below;
    };
    const ids: string[] = [];
    // Not the badges alone: they may agree by chance while receipts wait for their turn.
    const settled = async () => {
      const { truth } = await until("nothing waits, and the badges and rows agree with the server", async () => {
        const shown = await Promise.all(pages.map(async (page) => ({ ...(await badge(page)), rows: await states(page) })));
        const { unread: truth, alerts } = await bed.server.inbox("ben");
        const agrees = ({ unread, waiting, rows }: (typeof shown)[number]) => !waiting && unread === truth && alerts.every(({ alert, state }) => (rows[alert.id] ?? state) === state);
        return shown.every(agrees) ? { truth } : null;
      }).catch(async (error: unknown) => { throw new Error(`${String(error)}: ${JSON.stringify(await Promise.all(pages.map(badge)))} of ${(await bed.server.inbox("ben")).unread}`); });
      return truth;
    };
    // A receipt that changed nothing is answered by no frame. One that is said after it on the same connection is.
    const allIsWritten = async () => {
      for (const page of pages) {
        const id = await bed.server.send({ users: ["ben"], title: "The last of this page" });
        await hasState(page, id, "new");
        await page.evaluate((id) => window.client.say([id], "read"), id);
        await until(`${id} is read on the server`, async () => (await bed.server.inbox("ben")).alerts.some(({ alert, state }) => alert.id === id && state === "read"));
      }
    };
    for (let done = 0; done < OPERATIONS; done++) {
      const page = pages[random(pages.length)] as Page;
      const choice = random(10);
      if (choice < 3 || ids.length < 5) ids.push(await bed.server.send({ users: ["ben"], title: `Number ${done}` }));
      else {
        const some = [ids[random(ids.length)], ids[random(ids.length)]] as string[];
        const state = (["seen", "read", "dismissed", "unread"] as const)[random(4)] ?? "read";
        await page.evaluate(([some, state]) => window.client.say(some, state), [some, state] as const);
      }
      if ((done + 1) % OPERATIONS_PER_COMPARISON === 0) await settled();
    }
    const truth = await settled();
    expect(truth).toBeGreaterThan(0);
    // The element draws once a frame, and where a page is not shown a moment later: what it shows follows what the client knows.
    const drawn = (page: Page) => page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".badge")?.textContent);
    const text = truth > 99 ? "99+" : String(truth);
    for (const page of pages) await until(`the element shows ${text}`, async () => (await drawn(page)) === text);
    await allIsWritten();
    await (pages[0] as Page).evaluate(() => window.client.readAll());
    expect(await settled()).toBe(0);
  }, 180_000);
});

describe("tabs", () => {
  it("ten of them hold one connection, each alert is one toast, and a dead leader is replaced within a second", async () => {
    const browser = await context();
    const before = bed.network.open;
    const pages: Page[] = [];
    for (let tab = 0; tab < 10; tab++) pages.push(await bed.page(browser));
    expect(bed.network.open - before).toBe(1);

    const id = await bed.server.send({ title: "One toast" });
    await Promise.all(pages.map((page) => hasState(page, id, "new")));
    const toasts = await until("a tab shows it", async () => {
      const all = await Promise.all(pages.map((page) => page.evaluate((id) => window.toasts.filter((one) => one === id).length, id)));
      return all.some(Boolean) ? all : null;
    });
    expect(toasts.reduce((sum, count) => sum + count, 0)).toBe(1);

    const leads = await Promise.all(pages.map((page) => page.evaluate(() => window.client.snapshot.leads)));
    expect(leads.filter(Boolean).length).toBe(1);
    const [leader] = pages.splice(leads.indexOf(true), 1);
    await leader?.close();
    const closed = Date.now();
    await until("another leads", async () => (await Promise.all(pages.map((page) => page.evaluate(() => window.client.snapshot.leads && window.client.snapshot.status === "live")))).some(Boolean), 1_000);
    expect(Date.now() - closed).toBeLessThan(1_000);
    expect(bed.network.open - before).toBe(1);
    const next = await bed.server.send({ title: "After the leader" });
    await Promise.all(pages.map((page) => hasState(page, next, "new")));
  });

  it("what is dismissed in one shows in the next without the server, and reaches the server later", async () => {
    const browser = await context();
    const pages = [await bed.page(browser), await bed.page(browser)] as const;
    const id = await bed.server.send({ title: "Dismissed while the network is gone" });
    await Promise.all(pages.map((page) => hasState(page, id, "new")));
    bed.network.cut();
    try {
      await pages[1].evaluate((id) => window.client.say([id], "dismissed"), id);
      await hasState(pages[0], id, "dismissed");
      expect((await bed.server.inbox()).alerts.find(({ alert }) => alert.id === id)?.state).not.toBe("dismissed");
    } finally {
      bed.network.mend();
    }
    await until("the server has it", async () => (await bed.server.inbox()).alerts.find(({ alert }) => alert.id === id)?.state === "dismissed");
  });

  it("a tab lets go of what it said once its leader heard it, also when that changed nothing", async () => {
    const browser = await context();
    const pages = [await bed.page(browser), await bed.page(browser)] as const;
    const id = await bed.server.send({ title: "Read, then seen" });
    await Promise.all(pages.map((page) => hasState(page, id, "new")));
    for (const state of ["read", "seen"] as const) {
      await pages[1].evaluate(([id, state]) => window.client.say([id], state), [id, state] as const);
      await until(`nothing waits after ${state}`, async () => (await Promise.all(pages.map(badge))).every(({ waiting }) => waiting === 0));
    }
  });

  it("without Web Locks and BroadcastChannel every tab is on its own, and works", async () => {
    const browser = await context();
    await browser.addInitScript(() => {
      Object.defineProperty(navigator, "locks", { value: undefined });
      Reflect.deleteProperty(globalThis, "BroadcastChannel");
    });
    const before = bed.network.open;
    const pages = [await bed.page(browser), await bed.page(browser)];
    expect(bed.network.open - before).toBe(2);
    const id = await bed.server.send({ title: "Alone" });
    await Promise.all(pages.map((page) => hasState(page, id, "new")));
  });
});

describe("hooks and topics", () => {
  it("show alerts, the badge, the connection and a topic", async () => {
    const page = await bed.page(await context());
    await page.evaluate(() => window.mount());
    const id = await bed.server.send({ title: "For the hooks" });
    await page.locator("#react button", { hasText: "For the hooks" }).first().waitFor();
    await page.waitForFunction(() => document.getElementById("hooks")?.textContent === `live ${window.client.snapshot.unread}`);
    await page.locator("#react button", { hasText: "For the hooks" }).first().click();
    await hasState(page, id, "dismissed");
    await bed.server.event("monitor:7", { up: false });
    await page.waitForFunction(() => JSON.stringify(window.events).includes('"up":false'));
    await bed.server.event("monitor:7", { up: true });
    await page.waitForFunction(() => window.events.length === 2);
  });
});
