/** The operators' console of `up`, as an operator uses it: signs in, finds out, acts, and finds the act in the audit log. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page } from "playwright-core";
import { Bed } from "../bed/bed.ts";
import { Up } from "../bed/server.ts";
import { until } from "../bed/until.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let bed: Bed<Up>;
let page: Page;
/** What the browser complained of, and what was fetched from elsewhere. */
const complaints: string[] = [];

beforeAll(async () => {
  bed = await Bed.on(Up.start([deadLetter("late", "ana")]));
  // The page's own policy stays in force; axe comes in past it by the debugger.
  const context = await bed.browser.newContext();
  page = await context.newPage();
  // The browser itself tells of each status that is an error, as of an id that is looked for and is not there.
  page.on("console", (message) => { if (["error", "warning"].includes(message.type()) && !/^Failed to load resource: .* status of 4/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (!/^(data:|http:\/\/127\.0\.0\.1:)/.test(request.url())) complaints.push(request.url()); });
});
afterAll(() => bed.close());

/** What `up` set aside in an earlier run, as it keeps it. */
function deadLetter(id: string, user: string): string {
  const body = JSON.stringify({ id, version: 1, tenant: "demo", to: { users: [user] }, title: `${id} title` });
  const headers = { "watchbell-from": "watchbell.dispatch", "watchbell-reason": "delivered 20 times" };
  return JSON.stringify({ number: 0, message_id: id, content_type: "application/json", headers, body });
}

const go = async (hash: string, heading: string): Promise<void> => {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await page.getByRole("heading", { name: heading, exact: true }).first().waitFor();
};

/** Nothing that axe objects to in both themes; and as wide as the window on a phone. */
async function isFit(): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
      return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`);
    });
    expect(violations, `${page.url()}, ${colorScheme}`).toEqual([]);
  }
  await page.setViewportSize({ width: 390, height: 800 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth), page.url()).toBeLessThanOrEqual(390);
  await page.setViewportSize({ width: 1280, height: 800 });
}

describe("the operators' console", () => {
  it("lets in who has a key, and says why not", async () => {
    await page.goto(`http://${bed.server.address}/console`);
    await page.getByLabel("API key").fill("wbk_guessed");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("The API key is not known").waitFor();
    await isFit();
    await page.getByLabel("API key").fill(bed.server.key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: /^Readiness/ }).waitFor();
    await isFit();
  });

  it("finds an alert, tells why, and resolves it", async () => {
    await bed.server.send({ id: "disk-7", users: ["ana"], title: "Disk full on db-7", severity: "critical" });
    await until("the alert is recorded", async () => (await bed.server.inbox()).alerts.length > 0);
    await go("find", "Find");
    await page.getByLabel("Alert or person").fill("full on DB-7");
    await page.getByRole("button", { name: "Find", exact: true }).click();
    await page.getByRole("link", { name: "Disk full on db-7" }).click();
    await page.getByText("no session anywhere: the first wait is skipped").waitFor();
    await isFit();
    await page.getByRole("button", { name: "Mail and push" }).click();
    const mail = page.frameLocator("iframe");
    await mail.getByRole("heading", { name: "Disk full on db-7" }).waitFor();
    // The mail's own colours: its light ones, or its dark ones where the browser is dark.
    const colour = await mail.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
    expect(["rgb(243, 244, 246)", "rgb(17, 24, 39)"]).toContain(colour);
    await page.getByText("Push to an iPhone").click();
    await page.getByText('"mutable-content": 1').filter({ visible: true }).waitFor();
    await isFit();
    await page.getByRole("button", { name: "Mail and push" }).click();
    await page.getByRole("button", { name: "Resolve" }).click();
    await page.getByText("Resolved: pushes that show it are withdrawn").waitFor();
    await until("it is over", async () => (await page.getByText("over: resolved").count()) > 0 || (await page.reload(), await page.getByText("version 2").waitFor(), false));
    await page.getByRole("link", { name: "ana" }).click();
    await page.getByRole("heading", { name: "Devices" }).waitFor();
    await page.getByRole("cell", { name: "ana-phone", exact: true }).waitFor();
    await isFit();
  });

  it("takes an address that is no percent encoding as it stands", async () => {
    await page.evaluate(() => { location.hash = "alert/%E0%A4"; });
    await page.getByRole("heading", { name: "This cannot be shown" }).waitFor();
    expect(complaints).toEqual([]);
  });

  it("asks twice before sessions end", async () => {
    await go("person/ben", "ben");
    await page.getByRole("button", { name: "End sessions" }).click();
    const question = page.getByRole("dialog");
    const goOn = question.getByRole("button", { name: "End sessions" });
    expect(await goOn.isDisabled()).toBe(true);
    await question.getByRole("textbox").fill("be");
    expect(await goOn.isDisabled()).toBe(true);
    await isFit();
    await question.getByRole("textbox").fill("ben");
    await goOn.click();
    await page.getByText("The sessions of ben are ended.").waitFor();
  });

  it("replays a dead letter, makes and revokes a key, and all of it is in the audit log", async () => {
    await go("dead", "Dead letters");
    await page.getByRole("cell", { name: "delivered 20 times" }).waitFor();
    await isFit();
    await page.getByRole("button", { name: "Replay" }).click();
    await page.getByText("1 replayed.").waitFor();
    await until("the letter is an alert", async () => (await bed.server.inbox()).alerts.some(({ alert }) => alert.id === "late"));
    await go("keys", "Keys and tenants");
    await isFit();
    await page.getByLabel("Tenant", { exact: true }).last().fill("acme");
    await page.getByLabel("Name").fill("robot");
    await page.getByRole("button", { name: "Make" }).click();
    expect(await page.locator("#secret").innerText()).toMatch(/^wbk_/);
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("row", { name: /robot/ }).getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("robot");
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByText("robot is revoked.").waitFor();
    await go("audit", "Audit log");
    for (const action of ["sessions.revoked", "dead.replayed"]) {
      await page.getByRole("row").filter({ hasText: action }).filter({ hasText: "demo (key)" }).first().waitFor();
    }
    await isFit();
    await page.getByLabel("Tenant", { exact: true }).fill("acme");
    await page.getByLabel("Tenant", { exact: true }).press("Enter");
    await page.getByRole("row").filter({ hasText: "key.revoked" }).waitFor();
  });

  it("shows a policy on a time line before anybody has it, and tries a route", async () => {
    await go("policies", "Write a policy");
    const road = page.locator("form").getByRole("list", { name: /who is told when/ });
    await road.getByText("push is sent").waitFor();
    await page.getByLabel("After", { exact: true }).first().fill("soon");
    await page.getByText("steps[0].after").waitFor();
    await page.getByLabel("After", { exact: true }).first().fill("45s");
    await road.getByText("+45 s").waitFor();
    expect(await page.locator("#toml").innerText()).toContain('{channel = "push", after = "45s"}');
    await isFit();
    await go("routes", "Try a sample");
    await page.getByRole("button", { name: "Try" }).click();
    await page.getByRole("heading", { name: "What it would become" }).waitFor();
    await isFit();
  });

  it("signs out in every tab, and opens with the key of the printed address", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You signed out.").waitFor();
    const fresh = await (await bed.browser.newContext()).newPage();
    await fresh.goto(bed.server.printedAddress().replace("/#key", "/console#key"));
    await fresh.getByRole("heading", { name: "Now", exact: true }).waitFor();
    expect(fresh.url()).not.toContain("key=");
    await fresh.getByRole("img", { name: /^Sessions/ }).waitFor({ timeout: 30_000 });
    expect(complaints).toEqual([]);
  });
});
