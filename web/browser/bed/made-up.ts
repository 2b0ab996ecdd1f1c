/** A Chromium and the page with the inbox over a session that is made up: no server, so that each answer can be chosen. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Locator, type Page, chromium } from "playwright-core";
import { servePage } from "../../scripts/made-up.mjs";
import { CHROMIUM, FLAGS } from "./bed.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export class MadeUp {
  /** Used again by tests that leave nothing behind but what a page load takes away. */
  #page: Page | null = null;

  private constructor(readonly browser: Browser, readonly url: string, readonly stop: () => void) {}

  static async start(): Promise<MadeUp> {
    const [{ url, close }, browser] = await Promise.all([servePage(), chromium.launch({ executablePath: CHROMIUM, args: FLAGS })]);
    return new MadeUp(browser, url, close);
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.stop();
  }

  /** A browser of its own: for another clock, another kind of device, or storage that nobody used. */
  context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    return this.browser.newContext({ reducedMotion: "reduce", ...options });
  }

  /** The page in the state that `asked` names, ready to be used. */
  async page(asked = "", context?: BrowserContext, path = "/"): Promise<Page> {
    const page = context ? await this.#newPage(context) : (this.#page ??= await this.#newPage(await this.context()));
    await page.goto(`${this.url}${path}${asked && `?${asked}`}`);
    await page.waitForFunction(() => window.isReady === true);
    return page;
  }

  async #newPage(context: BrowserContext): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => { throw error; });
    return page;
  }
}

export const panel = (page: Page): Locator => page.locator("watchbell-inbox .panel");
export const row = (page: Page, title: string): Locator => page.locator("watchbell-inbox .panel li.alert", { hasText: title });
export const toasts = (page: Page): Locator => page.locator("watchbell-inbox .toasts .alert");
export const said = (page: Page): Promise<string[]> => page.evaluate(() => window.session.said);
export const asked = (page: Page): Promise<string[]> => page.evaluate(() => window.session.asked);

/** What has the focus within the element: its class, or its text. */
export const focused = (page: Page): Promise<string> => page.evaluate(() => {
  const active = window.inbox.shadowRoot?.activeElement;
  return active?.getAttribute("data-control") ?? (active?.className === "title" ? active.textContent : active?.className) ?? "";
});

/** What axe objects to, on a page without motion: what fades in has too little contrast until it is there. It stays without. */
export async function violations(page: Page): Promise<string[]> {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
    return (await axe.run()).violations.filter(({ id }) => id !== "page-has-heading-one").map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
}
