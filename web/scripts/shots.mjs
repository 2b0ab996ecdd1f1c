/**
 * Pictures of the inbox in each of its states, taken in Chromium with a session that is made up, as small WebP files into
 * `web/shots`: `npm run shots`, or `npm run shots -- DIR NAME…` for some of them into another folder.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { servePage } from "./made-up.mjs";
import { root } from "./packages.mjs";

const QUALITY = 60;
const [dir = join(root, "shots"), ...only] = process.argv.slice(2);

/** Name, size of the window, and what the page is asked to show (browser/page/made-up.ts). */
const SHOTS = [
  ["open", 900, 700, "open"],
  ["dark", 900, 700, "open&theme=dark"],
  ["phone", 390, 780, "open"],
  ["rtl", 900, 700, "open&lang=ar"],
  ["left", 900, 700, "open&bell=left"],
  ["bottom", 900, 500, "open&bell=bottom"],
  ["german", 900, 700, "open&lang=de"],
  ["toasts", 900, 700, "toasts"],
  ["toasts-phone", 390, 780, "toasts&theme=dark"],
  ["found", 900, 700, "find&theme=dark"],
  ["chosen", 900, 700, "select"],
  ["settings", 900, 900, "settings"],
  ["settings-phone-dark", 390, 780, "settings&theme=dark"],
  ["help", 900, 600, "help"],
  ["contrast", 900, 700, "open&contrast"],
  ...["signed-out", "origin", "refused", "gave-up", "offline", "unreachable", "blocked"].map((reason) => [`at-${reason}`, 520, 330, `open&few&reason=${reason}`]),
  ["at-loading", 520, 330, "open&none&loading"],
  ["at-empty", 520, 330, "open&none"],
];

const made = await servePage();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"] });
await mkdir(dir, { recursive: true });
for (const [name, width, height, asked] of SHOTS) {
  if (only.length && !only.includes(name)) continue;
  const tab = await browser.newPage({ viewport: { width, height }, reducedMotion: "reduce", forcedColors: asked.includes("contrast") ? "active" : "none", hasTouch: width < 480, isMobile: width < 480, timezoneId: "UTC" });
  tab.on("pageerror", (error) => console.error(name, error));
  await tab.clock.setFixedTime(new Date("2026-06-01T12:00:00Z"));
  await tab.goto(`${made.url}/?picture&${asked}`);
  await tab.waitForFunction(() => window.isReady === true);
  const { data } = await (await tab.context().newCDPSession(tab)).send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
  await writeFile(join(dir, `${name}.webp`), Buffer.from(data, "base64"));
  console.log(`${name}.webp: ${Math.round(data.length * 0.75)} bytes`);
  await tab.close();
}
await browser.close();
made.close();
