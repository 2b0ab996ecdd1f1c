/** The operators' console where a sign-in service is configured: the button, the way there and back, and what is said when it goes wrong. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { Bed } from "../bed/bed.ts";
import { Up } from "../bed/server.ts";
import { SignInService } from "../bed/sign-in-service.ts";

let service: SignInService;
let bed: Bed<Up>;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  service = await SignInService.start();
  bed = await Bed.on(Up.configured((address) => `[console.oidc]
    issuer = "${service.issuer}"
    client_id = "console"
    redirect_url = "http://${address}/console"
    name = "Acme SSO"
    allow = [{ value = "ops", scopes = ["operations", "read"] }, { value = "help", tenant = "acme", scopes = ["operations", "read"] }]
  `));
  page = await opened(await bed.browser.newContext());
});
afterAll(async () => {
  await bed.close();
  await service.close();
});

async function opened(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  // The browser itself tells of each status that is an error.
  page.on("console", (message) => { if (["error", "warning"].includes(message.type()) && !/^Failed to load resource: .* status of 4/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}

const console_ = (): string => `http://${bed.server.address}/console`;

async function goTo(hash = "", answer = "Yes, it is me"): Promise<void> {
  await page.goto(console_() + hash);
  await page.getByRole("button", { name: "Sign in with Acme SSO" }).click();
  await page.getByRole("link", { name: answer }).click();
}

describe("signing in to the console with an account", () => {
  it("leads there and back to the page that was asked for", async () => {
    await goTo("#audit");
    await page.getByRole("heading", { name: "Audit log", exact: true }).first().waitFor();
    await page.getByRole("row").filter({ hasText: "operator.signed_in" }).filter({ hasText: "oidc:7f3a" }).first().waitFor();
    expect(page.url()).toBe(`${console_()}#audit`);
    expect(await page.locator("#name").innerText()).toBe("Alice");
    const cookies = await page.context().cookies(console_());
    expect(cookies.filter(({ httpOnly, sameSite }) => !httpOnly || sameSite !== "Strict")).toEqual([]);
    expect(cookies.map(({ name }) => name)).toEqual(["watchbell_console"]);
    await page.reload();
    await page.getByRole("heading", { name: "Audit log", exact: true }).first().waitFor();
  });

  it("signs out", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You signed out.").waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Sign in with Acme SSO" }).waitFor();
  });

  it("says why somebody is not let in, and keeps no word of it in the address", async () => {
    await goTo("", "No");
    await page.getByText("Acme SSO did not sign you in (access_denied)").waitFor();
    expect(page.url()).toBe(console_());
    service.claims = { groups: ["staff"] };
    await goTo();
    await page.getByText("no value of your claim groups lets you in here".replace("groups", "`groups`")).waitFor();
    service.claims = {};
    // A link that somebody was sent: the code of another one's sign-in.
    await page.goto(`${console_()}?code=theirs&state=theirs`);
    await page.getByText("This sign-in was not begun in this browser").waitFor();
    expect(page.url()).toBe(console_());
  });

  it("shows who is let in for one tenant no page of the installation", async () => {
    service.claims = { groups: ["help"] };
    await goTo();
    await page.getByRole("heading", { name: "Find", exact: true }).first().waitFor();
    expect(await page.locator("#menu a").allInnerTexts()).toEqual(["Find", "Policies", "Audit log"]);
    expect(await page.locator("#tenant").inputValue()).toBe("acme");
    expect(complaints).toEqual([]);
  });
});
