/**
 * What the inbox costs the main thread, with 500 and with 10,000 rows and the panel open, for one of each: opening it, ten new
 * alerts, a step of scrolling. `npm run figures`. All that the thread does for it is counted, with layout and painting, in its
 * own time on the processor, so that other programs on the machine do not count.
 */
import { chromium } from "playwright-core";
import { servePage } from "./made-up.mjs";

const ROUNDS = 50;

/** What is done in the page, `rounds` times, a frame apart. */
const ACTS = {
  nothing: () => undefined,
  "the panel opened and closed": (round) => window.inbox.toggle(round % 2 === 1),
  "ten new alerts": (round) => window.session.news(...Array.from({ length: 10 }, (_, nth) => window.made.aRow(-round * 10 - nth - 1, { title: `New ${round} ${nth}` }))),
  "a step of scrolling": () => { window.inbox.shadowRoot.querySelector(".scroll").scrollTop += 400; },
  "ten new alerts as toasts": (round) => {
    if (round === 0) window.inbox.toggle(false);
    window.session.news(...Array.from({ length: 10 }, (_, nth) => window.made.aRow(-(round + 100) * 10 - nth - 1, { title: `Toast ${round} ${nth}` })));
  },
};

const made = await servePage();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
for (const count of [500, 10_000]) {
  const page = await browser.newPage();
  await page.goto(`${made.url}/?count=${count}&open`);
  await page.waitForFunction(() => window.isReady === true);
  const tools = await page.context().newCDPSession(page);
  await tools.send("Performance.enable", { timeDomain: "threadTicks" });
  const busyMs = async () => (await tools.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value * 1_000;
  let idle = 0;
  for (const [what, act] of Object.entries(ACTS)) {
    const before = await busyMs();
    await page.evaluate(async ({ act, rounds }) => {
      const run = (0, eval)(act);
      for (let round = 0; round < rounds; round++) {
        run(round);
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      }
    }, { act: String(act), rounds: ROUNDS });
    const each = (await busyMs() - before) / ROUNDS;
    if (what === "nothing") idle = each;
    else console.log(`${count} rows, ${what}: ${(each - idle).toFixed(1)} ms`);
  }
  console.log(`${count} rows: ${await page.evaluate(() => window.inbox.shadowRoot.querySelectorAll(".scroll li").length)} of them in the page`);
  await page.close();
}
await browser.close();
made.close();
