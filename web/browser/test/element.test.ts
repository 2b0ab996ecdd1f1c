/** `<watchbell-inbox>` as a person meets it: mouse, keyboard, screen reader, quiet, languages; and the service worker. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed, ENGINE, states, unread } from "../bed/bed.ts";
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

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
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
    await row(page, "Beta").getByRole("button", { name: "Dismiss" }).click();
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
    expect(await menu.getByRole("button").allInnerTexts()).toEqual(["20 minutes", "1 hour", "Tomorrow, 9:00"]);
    await until("the first choice has the focus", () => page.evaluate(() => (document.querySelector("watchbell-inbox")?.shadowRoot?.activeElement as HTMLElement | null)?.dataset["choice"] === "20m"));
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "hidden" });
    await card.waitFor();
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

  it("fits a phone's screen, whatever the page around it does", async () => {
    const page = await bed.page(browser);
    await page.setViewportSize({ width: 360, height: 640 });
    await page.getByRole("button", { name: /^Alerts/ }).click();
    const { left, right, bottom } = await page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector(".panel")?.getBoundingClientRect().toJSON());
    expect([left >= 0, right <= 360, bottom <= 640]).toEqual([true, true, true]);
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
    await page.keyboard.press("Escape");
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
  it("sends an alert, shows its timeline and three topics, and is clean for axe", async () => {
    const page = await browser.newPage();
    await page.emulateMedia({ reducedMotion: "reduce" });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`http://${bed.server.address}`);
    await page.locator("watchbell-inbox .status[data-status=live]").waitFor();
    await page.locator("#title").fill("From the demo page");
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await row(page, "From the demo page").waitFor();
    await page.locator("#timeline li", { hasText: "recorded in the inbox" }).waitFor();
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
});
