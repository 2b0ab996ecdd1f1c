/**
 * Pictures of the inbox in each of its states, taken in Chromium with a session that is made up, as small WebP files into
 * `web/shots`: `npm run shots`, or `npm run shots -- DIR NAME…` for some of them into another folder. `npm run shots -- --check NAME…` takes
 * them (all, without names) and says which show something else than those in `web/shots`; it writes those that do into
 * `target/shots`, to be looked at.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { servePage } from "./made-up.mjs";
import { root } from "./packages.mjs";
import { BLOCK_PX, SHARE_MAX, difference, madeSmall } from "./pictures.mjs";
import { SHOTS } from "./states.mjs";

const QUALITY = 60;
/** Pictures that are taken at once: most of the time is waiting for a page to come to rest. */
const AT_ONCE = 3;
const KEPT = join(root, "shots");
const isCheck = process.argv[2] === "--check";
const [dir = KEPT, ...only] = isCheck ? [join(root, "../target/shots"), ...process.argv.slice(3)] : process.argv.slice(2);

const unknown = only.filter((name) => !SHOTS.some(([known]) => known === name));
if (unknown.length) throw new Error(`there is no picture ${unknown.join(", ")}: ${SHOTS.map(([name]) => name).join(", ")}`);

const made = await servePage();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"] });

/** The picture, as base64. */
async function take([name, width, height, asked]) {
  const tab = await browser.newPage({ viewport: { width, height }, reducedMotion: "reduce", forcedColors: asked.includes("contrast") ? "active" : "none", hasTouch: width < 480, isMobile: width < 480, timezoneId: "UTC" });
  tab.on("pageerror", (error) => console.error(name, error));
  await tab.clock.setFixedTime(new Date("2026-06-01T12:00:00Z"));
  await tab.goto(`${made.url}/?picture&${asked}`);
  await tab.waitForFunction(() => window.isReady === true);
  const { data } = await (await tab.context().newCDPSession(tab)).send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
  await tab.close();
  return data;
}

/** Whether it shows what the kept one shows. */
async function isAsKept(name, base64, reader) {
  const kept = await readFile(join(KEPT, `${name}.webp`), "base64");
  const small = (picture) => reader.evaluate(madeSmall, { type: "image/webp", base64: picture, block: BLOCK_PX });
  const share = difference(await small(base64), await small(kept));
  console.log(`${name}: ${(share * 100).toFixed(2)} % differ, at most ${(SHARE_MAX * 100).toFixed(2)} %`);
  return share <= SHARE_MAX;
}

try {
  const reader = isCheck ? await browser.newPage() : null;
  const others = [];
  const waiting = SHOTS.filter(([name]) => !only.length || only.includes(name));
  const lane = async () => {
    for (let shot = waiting.shift(); shot; shot = waiting.shift()) {
      const [name] = shot;
      const data = await take(shot);
      if (reader && (await isAsKept(name, data, reader))) continue;
      if (reader) others.push(name);
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, `${name}.webp`), Buffer.from(data, "base64"));
      console.log(`${name}.webp: ${Math.round(data.length * 0.75)} bytes`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  if (others.length) {
    console.error(`${others.join(", ")}: not as in web/shots. Look at target/shots; where that is as it should be, run \`npm run shots\` and commit it`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
  made.close();
}
