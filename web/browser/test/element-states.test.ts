/** Each state of the inbox, on a phone that is touched: nothing that axe objects to, and nothing that is too small for a thumb. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { STATES } from "../../scripts/states.mjs";
import { MadeUp, violations } from "../bed/made-up.ts";

/** What a thumb meets (WCAG 2.2, 2.5.5). */
const TARGET_PX = 44;

let made: MadeUp;
let phone: BrowserContext;
beforeAll(async () => {
  made = await MadeUp.start();
  phone = await made.context({ viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
});
afterAll(() => made.close());

/**
 * What can be pressed and is smaller: with the label or the cell around it where that is pressed as well. A link within a text is as large as its
 * line.
 */
function tooSmall(page: Page): Promise<string[]> {
  return page.evaluate((least) => {
    const found: string[] = [];
    const look = (within: ParentNode) => {
      for (const one of within.querySelectorAll<HTMLElement>("*")) {
        if (one.shadowRoot) look(one.shadowRoot);
        if (!one.matches("button, select, input, summary, a[href]") || one.closest(".body")) continue;
        if (one instanceof HTMLButtonElement && one.disabled) continue;
        const box = (one.closest("label") ?? one).getBoundingClientRect();
        // Half a pixel is how sizes are rounded.
        if (box.width > 0 && (box.width < least - 0.5 || box.height < least - 0.5)) found.push(`${box.width.toFixed(0)} by ${box.height.toFixed(0)}: ${one.outerHTML.slice(0, 160)}`);
      }
    };
    look(document);
    return found;
  }, TARGET_PX);
}

describe.each(STATES)("$name", ({ asked }) => {
  it.each(["light", "dark"])("is clean for axe and large enough for a thumb, %s", async (theme) => {
    const page = await made.page(`${asked}&theme=${theme}`, phone);
    expect(await violations(page)).toEqual([]);
    expect(await tooSmall(page)).toEqual([]);
    await page.close();
  });
});

describe("severity", () => {
  it.each(["info", "warning", "critical"])("of %s is an icon, a colour and a word", async (severity) => {
    const page = await made.page("open", phone);
    const looks = await page.evaluate(() => Object.fromEntries(["info", "warning", "critical"].map((one) => {
      const row = window.inbox.shadowRoot?.querySelector(`.panel .alert.${one}`);
      const shown = row?.querySelector<HTMLElement>(".severity");
      return [one, { icon: shown?.querySelector("svg")?.innerHTML ?? "", word: shown?.textContent ?? "", color: shown ? getComputedStyle(shown).color : "", edge: row ? getComputedStyle(row).borderInlineStartColor : "" }];
    })));
    const own = looks[severity];
    expect(Object.values(own ?? {}).every((part) => part !== "")).toBe(true);
    for (const [other, look] of Object.entries(looks)) {
      if (other === severity) continue;
      for (const part of ["icon", "word", "color", "edge"] as const) expect(look[part], `${part} of ${other}`).not.toBe(own?.[part]);
    }
    await page.close();
  });
});
