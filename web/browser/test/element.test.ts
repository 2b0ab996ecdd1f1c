/** `<watchbell-inbox>` as a person meets it: mouse, keyboard, screen reader, quiet, languages; and the service worker. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, ENGINE, states, unread } from "../bed/bed.ts";
import type { Up } from "../bed/server.ts";
import { until } from "../bed/until.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let bed: Bed;
let browser: BrowserContext;
beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  await browser?.close();
  browser = await bed.browser.newContext();
});

const toast = (page: Page, title: string) => page.locator("watchbell-inbox .toasts .alert", { hasText: title });
const row = (page: Page, title: string) => page.locator("watchbell-inbox .panel li", { hasText: title });
const hasState = (page: Page, id: string, state: string) => until(`${id} is ${state}`, async () => (await states(page))[id] === state);

/** The open panel lies within the window, and makes the page no wider. */
async function isWithin(page: Page): Promise<void> {
  await until("the panel lies within the window", async () => {
    const { left, right, top, bottom, width, height, pageWidth } = await page.evaluate(() => ({
      ...document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".panel")?.getBoundingClientRect().toJSON() as DOMRect,
      pageWidth: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    }));
    const { width: w, height: h } = page.viewportSize() ?? { width: 0, height: 0 };
    const fits = width >= Math.min(280, w - 20) && height > 60 && left >= 0 && right <= w && top >= 0 && bottom <= h && pageWidth <= 0;
    if (!fits) throw new Error(JSON.stringify({ left, right, top, bottom, w, h, pageWidth }));
    return fits;
  }, 5_000);
}

/** What axe objects to, on a page without motion: what fades in has too little contrast until it is there. */
async function violations(page: Page): Promise<string[]> {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
  await page.emulateMedia({ reducedMotion: null });
  return found;
}

describe("the panel", () => {
  it("opens, reads, dismisses, takes back, snoozes and reads all", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    const ids = [];
    for (const title of ["Alpha", "Beta", "Gamma"]) ids.push(await bed.server.send({ title, body: `${title} in more words` }));
    await until("all are counted", async () => (await unread(page)) === 3);
    await page.getByRole("button", { name: /^Alerts, 3 unread, live/ }).click();
    await row(page, "Alpha").getByRole("button", { name: "Read" }).click();
    await hasState(page, ids[0] as string, "read");
    await row(page, "Beta").getByRole("button", { name: "Archive" }).click();
    await row(page, "Beta").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "Beta").waitFor();
    await row(page, "Gamma").getByRole("button", { name: "Snooze: Gamma" }).click();
    await row(page, "Gamma").getByRole("button", { name: "Snooze for 1 hour: Gamma" }).click();
    await row(page, "Gamma").waitFor({ state: "detached" });
    expect(await unread(page)).toBe(1);
    await page.getByRole("button", { name: "Show now" }).click();
    await row(page, "Gamma").waitFor();
    await page.getByRole("button", { name: "Read all" }).click();
    await until("the server counts none", async () => (await bed.server.inbox()).unread === 0);
  });

  it("finds on the server, and shows the devices that the server has", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await bed.server.send({ title: "The lighthouse is dark", body: "Since the storm", severity: "warning", category: "harbour" });
    await bed.server.send({ title: "Nothing of the kind" });
    await row(page, "The lighthouse").or(page.getByRole("button", { name: /^Alerts/ })).first().waitFor();
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await row(page, "Nothing of the kind").waitFor();
    const found = page.waitForResponse((response) => response.url().includes("q=storm") && response.ok());
    await page.getByRole("button", { name: "Search", exact: true }).click();
    await page.getByRole("searchbox").fill("storm");
    expect(((await (await found).json()) as { alerts: unknown[] }).alerts).toHaveLength(1);
    await row(page, "Nothing of the kind").waitFor({ state: "detached" });
    await row(page, "The lighthouse").waitFor();
    const listed = page.waitForResponse((response) => /\/v1\/devices$/.test(response.url()) && response.ok());
    await page.getByRole("button", { name: "Settings" }).click();
    expect(((await (await listed).json()) as { devices: { device: string }[] }).devices.length).toBeGreaterThan(0);
    await page.getByRole("button", { name: "Send a test: iPhone or iPad" }).first().waitFor();
  });

  it("snoozes in every page of the person, and shows it again in all of them", async () => {
    const other = await bed.browser.newContext();
    const [page, second] = [await bed.page(browser, { query: "manual-seen=" }), await bed.page(other, { query: "manual-seen=" })];
    const before = await unread(page);
    const id = await bed.server.send({ title: "Later", severity: "critical" });
    for (const one of [page, second]) {
      await hasState(one, id, "new");
      await toast(one, "Later").waitFor();
    }
    await toast(page, "Later").getByRole("button", { name: "Snooze: Later" }).click();
    await toast(page, "Later").getByRole("button", { name: "Snooze for 20 minutes: Later" }).click();
    for (const one of [page, second]) {
      await hasState(one, id, "snoozed");
      await toast(one, "Later").waitFor({ state: "detached" });
      expect(await unread(one)).toBe(before);
    }
    await page.reload();
    await hasState(page, id, "snoozed");
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.getByText("1 snoozed").waitFor();
    expect(await row(page, "Later").count()).toBe(0);
    await page.keyboard.press("Escape");
    // A shorter one takes its place, from the other page.
    await second.evaluate((id) => window.client.say([id], "snoozed", new Date(Date.now() + 2_000)), id);
    for (const one of [page, second]) {
      await toast(one, "Later").waitFor();
      await hasState(one, id, "new");
      expect(await unread(one)).toBe(before + 1);
    }
    await other.close();
  });

  it("shows for how long an alert may be put off, and takes that back", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await bed.server.send({ title: "Choices" });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    const [card, menu] = [row(page, "Choices"), row(page, "Choices").getByRole("group", { name: "Snooze" })];
    await card.getByRole("button", { name: "Snooze: Choices" }).click();
    expect(await menu.getByRole("button").allInnerTexts()).toEqual(["20 minutes", "1 hour", "Tomorrow, 9:00", "Monday, 9:00"]);
    await until("the first choice has the focus", () => page.evaluate(() => (document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement as HTMLElement | null)?.dataset["choice"] === "20m"));
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "hidden" });
    await card.waitFor();
  });

  it("keeps an open menu and its focus while its row is drawn anew", async () => {
    const page = await bed.page(browser, { user: "ben" }); // Whose list is short: the row stays in view.
    const id = await bed.server.send({ users: ["ben"], title: "Under the hand" });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    const menu = row(page, "Under the hand").getByRole("group", { name: "Snooze" });
    await row(page, "Under the hand").getByRole("button", { name: "Snooze: Under the hand" }).click();
    await page.keyboard.press("Tab");
    await hasState(page, id, "seen"); // By itself, after a second.
    const focused = () => page.evaluate(() => (document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement as HTMLElement | null)?.dataset["choice"]);
    expect([await menu.isVisible(), await focused()]).toEqual([true, "1h"]);
    await bed.server.send({ users: ["ben"], id, version: 2, title: "Under the hand, worse", severity: "critical" });
    await row(page, "Under the hand, worse").waitFor();
    expect([await menu.isVisible(), await focused()]).toEqual([true, "1h"]);
    await page.evaluate((id) => window.client.say([id], "read"), id);
    await row(page, "Under the hand, worse").getByRole("button", { name: "Unread" }).waitFor();
    expect([await menu.isVisible(), await focused()]).toEqual([true, "1h"]);
    await menu.getByRole("button", { name: "Snooze for 1 hour: Under the hand, worse" }).click();
    await hasState(page, id, "snoozed");
  });

  it("keeps a toast for as long as somebody is in it", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await page.clock.install();
    await bed.server.send({ title: "A toast in use" });
    await toast(page, "A toast in use").getByRole("button", { name: "Snooze: A toast in use" }).focus();
    await page.clock.fastForward(60_000);
    await bed.server.send({ title: "A toast beside it" });
    await toast(page, "A toast beside it").waitFor();
    expect(await toast(page, "A toast in use").isVisible()).toBe(true);
    await page.getByRole("button", { name: /^Alerts/ }).focus();
    await toast(page, "A toast in use").waitFor({ state: "detached" });
  });

  it("tells the age of an alert in seconds that go on", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await bed.server.send({ title: "Growing older", occurred_at: new Date(Date.now() - 20_000).toISOString() });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    const age = row(page, "Growing older").locator("time");
    const first = await age.innerText();
    expect(first).toMatch(/^\d+ sec\. ago$/);
    await until("it grew older", async () => (await age.innerText()) !== first, 10_000);
  });

  it("is worked by the keyboard alone", async () => {
    const page = await bed.page(browser, { user: "ben", query: "manual-seen=" });
    const ids = [await bed.server.send({ users: ["ben"], title: "First" }), await bed.server.send({ users: ["ben"], title: "Second" })];
    await until("both are there", async () => (await unread(page)) === 2);
    const focused = () => page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement?.textContent ?? "");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    while ((await focused()) !== "Second") await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    expect(await focused()).toBe("First");
    await page.keyboard.press("r");
    await hasState(page, ids[0] as string, "read");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Delete");
    await hasState(page, ids[1] as string, "dismissed");
    expect(await focused()).toBe("First");
    await page.keyboard.press("Escape");
    expect(await page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement?.className)).toBe("bell");
  });

  it.each(["light", "dark"])("has nothing that axe objects to, %s", async (theme) => {
    const page = await bed.page(browser, { query: `theme=${theme}&manual-seen=` });
    await page.emulateMedia({ colorScheme: theme as "light" | "dark", reducedMotion: "reduce" });
    await page.evaluate((theme) => { document.body.style.background = theme === "dark" ? "#14161b" : "#fff"; document.body.style.color = theme === "dark" ? "#fff" : "#000"; }, theme);
    for (const severity of ["info", "warning", "critical"]) await bed.server.send({ title: `A ${severity} of ${theme}`, severity, body: "With words", source: "axe" });
    await toast(page, `A critical of ${theme}`).waitFor();
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.getByRole("button", { name: "Settings" }).click();
    expect(await violations(page)).toEqual([]);
  });

  it("stays within a window that changes its size or is scrolled, and in a header that moves what is fixed", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await page.setViewportSize({ width: 1_280, height: 640 });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.setViewportSize({ width: 620, height: 400 });
    await isWithin(page);
    await page.evaluate(() => { document.body.style.paddingBottom = "3000px"; window.scrollTo(0, 900); });
    await isWithin(page);
    await page.evaluate(() => { window.scrollTo(0, 0); document.querySelector("main")?.setAttribute("style", "transform: translate(0); width: 5rem"); });
    await page.setViewportSize({ width: 360, height: 640 });
    await isWithin(page);
  });

  it("answers with a button of the alert, and finds on the server what was dismissed", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    const id = await bed.server.send({ title: "May zebras cross?", body: "**Two** of them", body_format: "markdown", group_key: "zoo", actions: [{ id: "yes", title: "Let them", answer: "yes" }, { id: "no", title: "Hold them", answer: "no" }] });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await row(page, "May zebras cross?").locator("strong", { hasText: "Two" }).waitFor();
    await row(page, "May zebras cross?").getByRole("button", { name: "Let them" }).click();
    await row(page, "May zebras cross?").getByText("Answered: Let them").waitFor();
    const answered = async () => (await bed.server.inbox()).alerts.find(({ alert }) => alert.id === id) as { answer?: { action: string } } | undefined;
    await until("the server has the answer", async () => (await answered())?.answer?.action === "yes");
    await row(page, "May zebras cross?").getByRole("button", { name: "Archive" }).click();
    await hasState(page, id, "dismissed");
    await page.reload();
    await bed.status(page, "live");
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.getByRole("button", { name: "Archived" }).click();
    await page.getByRole("button", { name: "Search" }).click();
    await page.keyboard.type("ZEBRA");
    await row(page, "May zebras cross?").getByText("Answered: Let them").waitFor();
    expect(await page.locator("watchbell-inbox .panel li").count()).toBe(1);
  });

  it("speaks German", async () => {
    const page = await bed.page(browser, { query: "lang=de" });
    await page.getByRole("button", { name: /^Meldungen, \d+ ungelesen, live/ }).click();
    await page.getByRole("heading", { name: "Meldungen" }).waitFor();
  });

  it("pages through what is older", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    for (let at = 0; at < 70; at++) await bed.server.send({ title: `Old ${at}` });
    await page.reload();
    await bed.status(page, "live");
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await row(page, "Old 69").waitFor();
    expect(Object.keys(await states(page)).length).toBe(50);
    await page.getByRole("button", { name: "Show older" }).click();
    await until("more are there", async () => Object.keys(await states(page)).length >= 70);
  });
});

describe("quiet", () => {
  it("reports seen what was really on screen, and not what was hidden", async () => {
    const page = await bed.page(browser);
    const id = await bed.server.send({ title: "On screen" });
    await hasState(page, id, "seen"); // Its toast was.
    await page.evaluate(() => document.querySelector("watchbell-inbox")?.setAttribute("toasts", "off"));
    const hidden = await bed.server.send({ title: "Behind the bell" });
    await hasState(page, hidden, "new");
    const next = await bed.server.send({ title: "Another, later" });
    await hasState(page, next, "new");
    expect((await states(page))[hidden]).toBe("new");
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await hasState(page, hidden, "seen");
  });

  it("do not disturb: no toast, but the badge counts", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("combobox", { name: "Do not disturb" }).selectOption("hour");
    await page.getByText("Alerts are counted, not announced.").waitFor();
    const kept = () => page.evaluate(async () => (await window.client.request<{ quiet?: { until?: string } }>("GET", "/v1/preferences")).quiet?.until);
    await until("the server keeps it", kept);
    const before = await unread(page);
    const quiet = await bed.server.send({ title: "In silence" });
    await hasState(page, quiet, "new");
    expect(await unread(page)).toBe(before + 1);
    expect(await toast(page, "In silence").count()).toBe(0);
    await page.getByRole("combobox", { name: "Do not disturb" }).selectOption("off");
    await until("the server has forgotten it", async () => (await kept()) === undefined);
    await page.keyboard.press("Escape"); // The settings,
    await page.keyboard.press("Escape"); // and the panel.
    await bed.server.send({ title: "Aloud again" });
    await toast(page, "Aloud again").waitFor();
    expect(await toast(page, "In silence").count()).toBe(0);
  });

  it("pulses when live, and not under reduced motion", async () => {
    const page = await bed.page(browser);
    const animation = () => page.evaluate(() => getComputedStyle(document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".bell .dot") as Element).animationName);
    expect(await animation()).toBe("pulse");
    await page.emulateMedia({ reducedMotion: "reduce" });
    expect(await animation()).toBe("none");
  });

  it("does not run what an alert says, and links only to the web", async () => {
    const page = await bed.page(browser, { query: "manual-seen=" });
    await bed.server.send({ title: "<img src=x onerror=window.hacked=1>", body: "<script>window.hacked=1</script>" });
    await toast(page, "<img src=x").waitFor();
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  });
});

describe.runIf(ENGINE === "embedded")("the demo page", () => {
  const live = (page: Page) => page.locator("watchbell-inbox .status[data-status=live]").waitFor();
  const closed = (page: Page) => page.getByText("Open the address that watchbell up printed in the terminal").waitFor();

  it("opens with the printed address, goes on after a reload, and otherwise says where that is", async () => {
    const up = bed.server as Up;
    const [page, used] = [await browser.newPage(), up.printedAddress()];
    await page.goto(used);
    await live(page);
    expect(page.url()).not.toContain("key=");
    await page.reload();
    await live(page);
    const [second] = await Promise.all([browser.waitForEvent("page"), page.getByRole("link", { name: "Second window" }).click()]);
    await live(second);
    await page.goto(`http://${up.address}/simulator/`);
    await page.getByText("No email has arrived.").or(page.locator(".mailbox").first()).waitFor();

    const other = await browser.newPage();
    for (const address of [`http://${up.address}/`, used, `http://${up.address}/#key=guessed`]) {
      await other.goto("about:blank");
      await other.goto(address);
      await closed(other);
      expect(await other.locator("#demo").isVisible()).toBe(false);
    }
    // Typed over the old one, which loads nothing anew.
    await other.goto(up.printedAddress());
    await live(other);
  });

  it("sends an alert, shows its timeline and three topics, and is clean for axe", async () => {
    const page = await browser.newPage();
    await page.emulateMedia({ reducedMotion: "reduce" });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto((bed.server as Up).printedAddress());
    await page.locator("watchbell-inbox .status[data-status=live]").waitFor();
    await page.locator("#title").fill("From the demo page");
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await row(page, "From the demo page").waitFor();
    // The panel beside it shows it already.
    expect(await toast(page, "From the demo page").count()).toBe(0);
    for (const [width, height] of [[1_280, 720], [1_440, 900], [1_920, 1_080]] as const) {
      await page.setViewportSize({ width, height });
      await until(`at ${width} by ${height}, what happened is seen whole and no toast covers it`, () => page.evaluate(() => {
        const [told, send] = [".told", ".send button"].map((name) => document.querySelector(name)?.getBoundingClientRect());
        const news = document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".toasts")?.getBoundingClientRect();
        const [side, box] = [document.querySelector(".side"), document.querySelector(".told .body")];
        if (!told || !send || !news || !side || !box) return false;
        const isCovered = news.left < told.right && news.right > told.left && news.top < told.bottom && news.bottom > told.top;
        return told.bottom <= innerHeight && box.scrollHeight <= box.clientHeight && side.scrollHeight <= side.clientHeight && !isCovered;
      }), 5_000);
    }
    await page.locator("#timeline li", { hasText: "recorded in the inbox" }).waitFor();
    // Without an alert: what the person got and did not get, and why. From there it is one press back.
    await page.getByRole("button", { name: "All of the last hour" }).click();
    const why = page.locator("#why li", { hasText: "From the demo page" });
    await why.getByText(/came under policy .* delivered to a screen/).waitFor();
    expect(await page.locator("#timeline").isVisible()).toBe(false);
    expect(await violations(page)).toEqual([]);
    await why.getByRole("button").click();
    await page.locator("#timeline li", { hasText: "recorded in the inbox" }).waitFor();
    expect(await page.locator("#why").isVisible()).toBe(false);
    const widget = (name: string) => page.getByRole("region", { name, exact: true });
    await widget("Remediation").locator("ol:empty").waitFor();
    await page.getByRole("button", { name: "Let it fail" }).click();
    await widget("Monitor").getByText("The shop is down").waitFor();
    await widget("Monitor").getByText("checkout answers 503").waitFor();
    await page.getByRole("button", { name: "Mend it" }).click();
    await widget("Monitor").getByText("The shop is up").waitFor();
    const done = () => widget("Remediation").locator("li").allInnerTexts();
    await until("both are in the history, the newest first", async () => {
      const [first = "", second = "", ...more] = await done();
      return first.includes("restarted checkout") && second.includes("asked checkout three times more") && more.length === 0;
    });
    const figures = () => page.evaluate(() => document.getElementById("spark")?.getAttribute("points")?.split(" ").length ?? 0);
    await until("two figures are drawn", async () => (await figures()) === 2);
    expect(await widget("Figures").locator("b").allInnerTexts()).toEqual([expect.stringMatching(/^\d+$/), "0 %", expect.stringMatching(/^\d+ ms$/)]);
    await page.getByRole("switch", { name: "Figures" }).check();
    await until("they go on by themselves", async () => (await figures()) >= 4);
    await page.getByRole("switch", { name: "Figures" }).uncheck();
    // Who comes later sees the same, from what the topics keep.
    await page.locator("#users [data-user=ben]").click();
    await widget("Monitor").getByText("The shop is up").waitFor();
    await until("ben sees the history", async () => (await done()).length === 2);
    expect(await figures()).toBeGreaterThanOrEqual(4);
    expect(await violations(page)).toEqual([]);
    expect(errors).toEqual([]);
  });

  it("selects the newest alert, and on a phone shows the alerts before the form", async () => {
    const page = await browser.newPage();
    await page.goto((bed.server as Up).printedAddress());
    await live(page);
    for (const title of ["The first of two", "The second of two"]) {
      await bed.server.send({ title });
      await page.locator("#told-alert", { hasText: title }).waitFor();
      await page.locator("#timeline li", { hasText: "recorded in the inbox" }).waitFor();
    }
    // What a person chose stays.
    await page.getByRole("button", { name: "All of the last hour" }).click();
    await page.locator("#why").getByRole("button", { name: "The first of two" }).click();
    await bed.server.send({ title: "A third" });
    await row(page, "A third").waitFor();
    expect(await page.locator("#told-alert").innerText()).toBe("The first of two");
    await page.setViewportSize({ width: 390, height: 844 });
    const top = (name: string) => page.locator(name).evaluate((node) => node.getBoundingClientRect().top);
    expect(await top(".screen")).toBeLessThan(await top(".send"));
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  // The last one here: the tokens that the other tests have end with the sessions.
  it("goes on when somebody ends a person's sessions, and opens a mail as it was sent", async () => {
    const up = bed.server as Up;
    const page = await browser.newPage();
    await page.goto(up.printedAddress());
    await live(page);
    const headers = { authorization: `Bearer ${up.key}` };
    const ended = await fetch(`http://${up.address}/v1/users/ana/sessions`, { method: "DELETE", headers });
    expect(ended.ok).toBe(true);
    await bed.server.send({ title: "After the end" });
    await row(page, "After the end").waitFor();
    await live(page);

    // With the sessions went the phone, so the mail comes at once.
    await bed.server.send({ title: "By mail", body: "Whole, with <b>its</b> style", severity: "critical" });
    await page.locator("#mails button", { hasText: "By mail" }).click();
    const letter = page.getByRole("dialog");
    await page.frameLocator("#letter-page").getByText("Whole, with <b>its</b> style").filter({ visible: true }).first().waitFor();
    await letter.getByText("Headers").click();
    await letter.getByText("ana@watchbell.test").first().waitFor();
    expect(await violations(page)).toEqual([]);
    await letter.getByRole("button", { name: "Close" }).click();
    await letter.waitFor({ state: "hidden" });
  });
});
