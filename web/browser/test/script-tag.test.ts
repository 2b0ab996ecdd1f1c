/** The one file for a `<script>` tag, with the hash that its README shows: what a page without a build does. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Browser, type Page, chromium } from "playwright-core";
import { CHROMIUM, FLAGS } from "../bed/bed.ts";
import { bundleScript, shownIntegrity } from "../../scripts/packages.mjs";

let browser: Browser;
let code = "";
beforeAll(async () => {
  [browser, { code }] = await Promise.all([chromium.launch({ executablePath: CHROMIUM, args: FLAGS }), bundleScript()]);
});
afterAll(() => browser.close());

/** A page that takes this file by the tag in the README. */
async function page(file: string): Promise<Page> {
  const page = await browser.newPage();
  const tag = `<script src="/watchbell.js" integrity="${await shownIntegrity()}" crossorigin="anonymous"></script>`;
  await page.route("http://product.test/**", (route) => route.fulfill(
    route.request().url().endsWith(".js") ? { contentType: "text/javascript", body: file } : { contentType: "text/html", body: `<!doctype html><title>A product</title><watchbell-inbox></watchbell-inbox>${tag}` },
  ));
  await page.goto("http://product.test/");
  return page;
}

describe("the file for a <script> tag", () => {
  it("shows the bell", async () => {
    const bell = (await page(code)).locator("watchbell-inbox .bell");
    await bell.waitFor();
    expect(await bell.isVisible()).toBe(true);
  });

  it("is refused by the browser when a byte of it is another one", async () => {
    const changed = await page(`${code} `);
    await changed.waitForLoadState("load");
    expect(await changed.evaluate(() => customElements.get("watchbell-inbox") === undefined)).toBe(true);
  });
});
