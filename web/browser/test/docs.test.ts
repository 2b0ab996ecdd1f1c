/** `/docs` and `/docs/session`: what the API is, as a person reads it. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed } from "../bed/bed.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
interface OpenApi { paths: Record<string, Record<string, { operationId: string; summary: string }>> }
interface AsyncApi { channels: Record<string, { address: string }>; components: { messages: Record<string, unknown> } }

let bed: Bed;
let browser: BrowserContext;
/** What the browser complained of, and what was fetched from elsewhere. */
let complaints: string[];
beforeAll(async () => { bed = await Bed.start(); });
afterAll(() => bed.close());
beforeEach(async () => {
  // The page's own policy stays in force; axe comes in past it by the debugger.
  browser = await bed.browser.newContext();
  complaints = [];
});
afterEach(() => browser.close());

async function opened(path: string): Promise<Page> {
  const page = await browser.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(`http://${bed.server.address}/`)) complaints.push(request.url()); });
  await page.goto(`http://${bed.server.address}${path}`);
  await page.getByRole("button", { name: "Open all" }).waitFor();
  return page;
}

const documentAt = async <T>(path: string): Promise<T> => (await fetch(`http://${bed.server.address}${path}`)).json();
const idsOf = (page: Page, prefix: string) =>
  page.locator(`main details[id^="${prefix}"]`).evaluateAll((all) => all.map((one) => one.id).sort());

/** Nothing that axe objects to, all of it open, in both themes; and as wide as the window on a phone. */
async function isFitFor(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Open all" }).click();
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
      return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`);
    });
    expect(violations, colorScheme).toEqual([]);
  }
  await page.setViewportSize({ width: 390, height: 800 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
}

describe("the HTTP API", () => {
  it("is shown whole, without a complaint and without anything from elsewhere", async () => {
    const page = await opened("/docs");
    const { paths } = await documentAt<OpenApi>("/openapi.json");
    const operations = Object.values(paths).flatMap((path) => Object.values(path));
    expect(operations.length).toBeGreaterThan(20);
    expect(await idsOf(page, "operation-")).toEqual(operations.map((one) => `operation-${one.operationId}`).sort());
    await isFitFor(page);
    expect(complaints).toEqual([]);
  });

  it("opens what an address names, by keyboard too, and finds what is filtered for", async () => {
    const page = await opened("/docs#operation-publishAlerts");
    const publish = page.locator("#operation-publishAlerts");
    expect(await publish.evaluate((one: HTMLDetailsElement) => one.open)).toBe(true);
    const command = await publish.locator("pre").first().innerText();
    expect(command).toContain(`curl -X POST 'http://${bed.server.address}/v1/alerts'`);
    expect(command).toContain("$WATCHBELL_KEY");
    await publish.locator("summary").first().press("Enter");
    expect(await publish.evaluate((one: HTMLDetailsElement) => one.open)).toBe(false);
    await page.keyboard.press("/");
    await page.keyboard.type("timeline");
    expect(await page.locator("main details.one:visible").evaluateAll((all) => all.map((one) => one.id))).toContain("operation-getTimeline");
    expect(await publish.isVisible()).toBe(false);
    expect(complaints).toEqual([]);
  });
});

describe("the session protocol", () => {
  it("is shown whole: channels, frames and close codes", async () => {
    const page = await opened("/docs/session");
    const { channels, components } = await documentAt<AsyncApi>("/asyncapi.json");
    expect(await idsOf(page, "channel-")).toEqual(Object.keys(channels).map((key) => `channel-${key}`).sort());
    expect(await idsOf(page, "message-")).toEqual(Object.keys(components.messages).map((key) => `message-${key}`).sort());
    await page.getByRole("cell", { name: "4001" }).waitFor();
    await isFitFor(page);
    await page.getByRole("link", { name: "HTTP API" }).click();
    await page.getByRole("heading", { name: "Watchbell API", level: 1 }).waitFor();
    expect(complaints).toEqual([]);
  });
});
