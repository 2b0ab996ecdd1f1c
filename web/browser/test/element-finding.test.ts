/** Finding alerts in `<watchbell-inbox>`, ten thousand of them, and doing something with many: over a session that is made up. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BrowserContext } from "playwright-core";
import { MadeUp, asked, focused, row, said, violations } from "../bed/made-up.ts";
import { until } from "../bed/until.ts";

let bed: MadeUp;
beforeAll(async () => { bed = await MadeUp.start(); });
afterAll(() => bed.close());
/** Pages that share nothing with those of other tests. */
let own: BrowserContext | undefined;
afterEach(async () => {
  await own?.close();
  own = undefined;
});

describe("finding", () => {
  it("asks the server, shows what it finds beside what is here, and follows what is new", async () => {
    const page = await bed.page("open");
    await page.evaluate(() => window.session.answers.unshift(["GET /v1/inbox", (path) => {
      const before = new URLSearchParams(path.split("?")[1]).get("before");
      const old = window.made.aRow(90, { title: "Checkout long ago", severity: "warning", category: "availability" }, "read");
      return before === null ? { alerts: [], next_before: 7 } : { alerts: [old, window.made.aRow(91, { title: "Of something else" })], next_before: null };
    }]));
    await page.keyboard.press("/");
    await until("the search has the focus", async () => (await page.evaluate(() => (window.inbox.shadowRoot?.activeElement as HTMLInputElement | null)?.type)) === "search");
    await page.keyboard.type("CHECK");
    await row(page, "Checkout long ago").waitFor();
    expect(await page.locator("watchbell-inbox li .title").allInnerTexts()).toEqual(["Checkout answers 503 in Frankfurt", "Checkout is slow", "Checkout deploy 418 finished", "Checkout long ago"]);
    expect((await asked(page)).filter((one) => one.startsWith("GET /v1/inbox"))).toEqual(["GET /v1/inbox?q=CHECK&state=open&limit=50", "GET /v1/inbox?q=CHECK&state=open&before=7&limit=50"]);
    await page.getByRole("combobox", { name: "Severity" }).selectOption("warning");
    await until("only warnings", async () => (await page.locator("watchbell-inbox li .title").allInnerTexts()).join() === "Checkout is slow,Checkout long ago");
    const inboxAsked = async () => (await asked(page)).filter((one) => one.startsWith("GET /v1/inbox")).at(-1)?.split("?")[1];
    for (const [name, text, expected] of [["Category", "availability", "category=availability"], ["Label", "service:checkout", "label=service%3Acheckout"]] as const) {
      const field = page.getByRole("combobox", { name });
      await field.fill(text);
      await page.keyboard.press("Tab");
      await until(`the server is asked by ${name}`, async () => (await inboxAsked())?.includes(expected) ?? false);
      expect((await page.locator("watchbell-inbox li .title").allInnerTexts()).length).toBeLessThan(2);
      await field.fill("");
      await page.keyboard.press("Tab");
      await row(page, "Checkout long ago").waitFor();
    }
    await page.evaluate(() => window.session.news(window.made.aRow(0, { title: "Checkout again", severity: "warning" })));
    await row(page, "Checkout again").waitFor();
    await page.getByRole("searchbox").fill("nowhere");
    await page.getByText("Nothing found.").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Clear the search" }).click();
    await row(page, "Checkout answers").waitFor();
    await page.keyboard.press("Escape");
    await until("the focus is back", async () => (await focused(page)) === "find");
  });

  it("has what is unread, and what was dismissed, from where it comes back", async () => {
    const page = await bed.page("open");
    await page.getByRole("button", { name: "Unread", exact: true }).click();
    await row(page, "Checkout is slow").waitFor();
    expect(await row(page, "Backup of orders").count()).toBe(0);
    await row(page, "Checkout is slow").getByRole("button", { name: "Archive" }).click();
    await page.getByRole("button", { name: "Archived" }).click();
    await row(page, "Checkout is slow").waitFor();
    expect(await page.locator("watchbell-inbox li").count()).toBe(1);
    await row(page, "Checkout is slow").getByRole("button", { name: "Restore" }).click();
    await page.getByText("Nothing is archived.").waitFor();
    await page.getByRole("button", { name: "All", exact: true }).click();
    await row(page, "Disk of db-2").waitFor();
  });

  it("keeps ten thousand alerts in few elements, keeps its place when more come, and draws once a frame", async () => {
    const page = await bed.page("count=10000&open");
    const drawn = () => page.locator("watchbell-inbox li").count();
    const scroll = (top: number) => page.locator("watchbell-inbox .scroll").evaluate((list, top) => { list.scrollTop = top; }, top);
    const inView = () => page.locator("watchbell-inbox .scroll").evaluate((list) => {
      const { top } = list.getBoundingClientRect();
      const first = [...list.querySelectorAll("li")].find((item) => item.getBoundingClientRect().bottom > top + 1);
      return [first?.querySelector(".title")?.textContent, Math.round((first?.getBoundingClientRect().top ?? 0) - top)] as const;
    });
    expect(await drawn()).toBeLessThan(60);
    const gaps = await page.locator("watchbell-inbox li").evaluateAll((items) => items.slice(1).map((item, at) => Math.round(item.getBoundingClientRect().top - (items[at] as Element).getBoundingClientRect().bottom)));
    expect(new Set(gaps)).toEqual(new Set([8]));
    await scroll(400_000);
    await until("the middle is shown", async () => Number((await inView())[0]?.replace("Alert ", "")) > 2_000);
    const before = await inView();
    expect(await drawn()).toBeLessThan(60);
    const draws = await page.evaluate(async () => {
      let count = 0;
      const list = window.inbox.shadowRoot?.querySelector(".scroll ul") as HTMLElement;
      new MutationObserver(() => { count += 1; }).observe(list, { attributes: true, attributeFilter: ["style"] });
      for (let nth = 0; nth < 10; nth++) window.session.news(window.made.aRow(-nth - 1, { title: `New ${nth}` }));
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return count;
    });
    expect(draws).toBe(1);
    expect(await inView()).toEqual(before);
    await scroll(0);
    await row(page, "New 9").waitFor();
    await page.locator("watchbell-inbox .title").first().focus();
    await page.keyboard.press("End");
    await until("the last has the focus", async () => (await focused(page)) === "Alert 9999");
    await page.keyboard.press("Home");
    expect(await focused(page)).toBe("New 9");
    // With the focus in it, a row stays wherever the list is scrolled to.
    await scroll(300_000);
    await until("the list is elsewhere", async () => Number((await inView())[0]?.replace("Alert ", "")) > 1_000);
    expect(await focused(page)).toBe("New 9");
  });

  it("shows a thousand alerts that come within three seconds, and draws once a frame at the most", async () => {
    const page = await bed.page("open");
    const [draws, frames] = await page.evaluate(async () => {
      const [EACH, OF] = [5, 200];
      let [draws, frames, isOver] = [0, 0, false];
      const list = window.inbox.shadowRoot?.querySelector(".scroll ul") as HTMLElement;
      new MutationObserver(() => { draws += 1; }).observe(list, { childList: true });
      const count = () => { frames += 1; if (!isOver) requestAnimationFrame(count); };
      requestAnimationFrame(count);
      const { port1, port2 } = new MessageChannel();
      const anotherTask = () => new Promise((resolve) => { port2.onmessage = resolve; port1.postMessage(null); });
      for (let nth = 0; nth < OF; nth++) {
        for (let one = 0; one < EACH; one++) {
          window.session.news(window.made.aRow(-nth * EACH - one - 1, { title: `Storm ${nth * EACH + one}` }));
          await anotherTask();
        }
        await new Promise(requestAnimationFrame);
      }
      isOver = true;
      return [draws, frames] as const;
    });
    expect(draws).toBeGreaterThan(0);
    // What was drawn in the frame in which the counting began may be one of them.
    expect(draws).toBeLessThanOrEqual(frames + 1);
    await row(page, "Storm 999").waitFor();
    await page.locator("watchbell-inbox .title").first().focus();
    await page.keyboard.press("End");
    await until("what was there before them is at the end", async () => (await page.locator("watchbell-inbox li .title").allInnerTexts()).some((title) => title.startsWith("Storm 0") || !title.startsWith("Storm")));
    expect(await page.evaluate(() => window.session.client.snapshot.alerts.length)).toBeGreaterThanOrEqual(1_000);
  });

  it("has the browser lay out a few times for ten new alerts, and not for each row or question", async () => {
    const ROUNDS = 10;
    const LAYOUTS_MAX = 6;
    const page = await bed.page("count=10000&open");
    const tools = await page.context().newCDPSession(page);
    await tools.send("Performance.enable");
    const layouts = async () => (await tools.send("Performance.getMetrics")).metrics.find(({ name }) => name === "LayoutCount")?.value ?? NaN;
    const before = await layouts();
    await page.evaluate(async (rounds) => {
      for (let round = 1; round <= rounds; round++) {
        window.session.news(...Array.from({ length: 10 }, (_, nth) => window.made.aRow(-round * 10 - nth, { title: `New ${round} ${nth}` })));
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      }
    }, ROUNDS);
    expect((await layouts() - before) / ROUNDS).toBeLessThan(LAYOUTS_MAX);
  });
});

describe("doing", () => {
  it("undoes in every tab: what was dismissed, and what was read", async () => {
    own = await bed.context();
    const [page, other] = [await bed.page("open", own), await bed.page("open", own)];
    await row(page, "Backup of orders").getByRole("button", { name: "Archive" }).click();
    const undo = (one: typeof page) => one.getByRole("button", { name: "Undo" });
    await undo(other).waitFor();
    await other.getByText("Archived: Backup of orders finished").first().waitFor();
    await undo(page).click();
    await undo(other).waitFor({ state: "hidden" });
    expect(await said(page)).toEqual(["alert-8 dismissed", "alert-8 unread", "alert-8 read"]);
    await page.clock.install();
    await row(page, "Backup of orders").getByRole("button", { name: "Archive" }).click();
    await undo(page).waitFor();
    await page.clock.fastForward(6_100);
    await undo(page).waitFor({ state: "hidden" });
  });

  it("reads all but critical ones, and these when asked", async () => {
    const page = await bed.page("open");
    await page.getByRole("button", { name: "Read all" }).click();
    await page.getByText("1 critical left unread.").waitFor();
    expect(await said(page)).toEqual(["alert-2,alert-4,alert-5,alert-6 read"]);
    await page.getByRole("button", { name: "Undo" }).click();
    expect((await said(page)).at(-1)).toBe("alert-2,alert-4,alert-5,alert-6 unread");
    await page.getByRole("button", { name: "Read all" }).click();
    await page.getByRole("button", { name: "Read them too" }).click();
    await page.getByText("1 critical left unread.").waitFor({ state: "hidden" });
    expect((await said(page)).at(-1)).toBe("alert-1 read");
  });

  it("reads all that is unread on pages that were not shown", async () => {
    const page = await bed.page("none&open");
    await page.evaluate(() => {
      window.session.answers.unshift(["GET /v1/inbox", (path) => ({ alerts: [window.made.aRow(path.includes("before") ? 51 : 50, { title: "Further down" })], next_before: path.includes("before") ? null : 50 })]);
      window.session.become({ alerts: [window.made.aRow(1, { title: "Here" })], hasMore: true });
    });
    await page.getByRole("button", { name: "Read all" }).click();
    await until("all three are read", async () => (await said(page)).join() === "alert-50,alert-51,alert-1 read");
  });

  it("does with many what it does with one", async () => {
    const page = await bed.page("open");
    await page.getByRole("button", { name: "Select", exact: true }).click();
    for (const title of ["Checkout answers", "Ana mentioned"]) await row(page, title).getByRole("checkbox").check();
    await page.getByText("2 selected").waitFor();
    expect(await violations(page)).toEqual([]);
    const bar = page.getByRole("group", { name: "Select" });
    await bar.getByRole("button", { name: "Snooze" }).click();
    await bar.getByRole("button", { name: "1 hour" }).click();
    await page.getByText("2 snoozed").waitFor();
    expect(await said(page)).toEqual(["alert-1,alert-5 snoozed"]);
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "Ana mentioned").waitFor();
    // By keyboard: X chooses.
    await row(page, "Ana mentioned").locator(".title").focus();
    await page.keyboard.press("X");
    await page.getByText("1 selected").waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("1 selected").waitFor({ state: "hidden" });
  });
});
