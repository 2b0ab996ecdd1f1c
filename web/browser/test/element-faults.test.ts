/** `<watchbell-inbox>` in a browser that lacks, refuses or changes something, and in tabs that have to agree. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { MadeUp, asked, panel, row, said, toasts } from "../bed/made-up.ts";
import { until } from "../bed/until.ts";

let bed: MadeUp;
beforeAll(async () => { bed = await MadeUp.start(); });
afterAll(() => bed.close());
let own: BrowserContext;
afterEach(() => own.close());

const newsHere = (page: Page, title: string) => page.evaluate((title) => window.session.news(window.made.aRow(-1, { title })), title);

it("works in a sandboxed frame, which has no storage, caches or workers", async () => {
  own = await bed.context();
  const page = await own.newPage();
  const errors: unknown[] = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.goto(`${bed.url}/sandboxed`);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("button", { name: /^Alerts, 5 unread/ }).click();
  await frame.getByRole("button", { name: "Archive: Checkout answers" }).click();
  await frame.getByRole("button", { name: "Undo" }).waitFor();
  await frame.getByRole("button", { name: "Settings" }).click();
  await frame.getByRole("checkbox", { name: "Sound" }).check();
  await frame.getByRole("heading", { name: "Devices" }).waitFor();
  expect(errors).toEqual([]);
});

it("keeps what a full storage does not take until the page is left", async () => {
  own = await bed.context();
  await own.addInitScript(() => { Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }; });
  const page = await bed.page("settings", own);
  const sound = page.getByRole("checkbox", { name: "Sound" });
  expect(await sound.isChecked()).toBe(false); // Reduced motion.
  await sound.check();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Settings" }).click();
  expect(await sound.isChecked()).toBe(true);
  await page.keyboard.press("Escape");
  await row(page, "Checkout answers").getByRole("button", { name: "Snooze: Checkout" }).click();
  await row(page, "Checkout answers").getByRole("button", { name: "Snooze for 1 hour" }).click();
  await row(page, "Checkout answers").waitFor({ state: "detached" });
  expect(await said(page)).toEqual(["alert-1 snoozed"]);
});

it("has the same Do Not Disturb in every tab, and follows what another browser changed", async () => {
  own = await bed.context();
  const [page, other] = [await bed.page("settings", own), await bed.page("none", own)];
  await page.getByRole("combobox", { name: "Do not disturb" }).selectOption("hour");
  await page.getByText("Do not disturb is on.").waitFor();
  await other.getByRole("button", { name: /^Alerts/ }).click();
  await other.getByText("Do not disturb is on.").waitFor();
  await other.keyboard.press("Escape");
  await newsHere(other, "In silence");
  await other.getByRole("button", { name: "Alerts, 1 unread" }).waitFor();
  expect(await toasts(other).count()).toBe(0);
  await page.getByRole("combobox", { name: "Do not disturb" }).selectOption("off");
  await until("it is off here as well", async () => {
    await newsHere(other, "Aloud");
    return (await toasts(other).filter({ hasText: "Aloud" }).count()) > 0;
  });
  // Another browser turns it on: seen when the page is looked at again.
  await other.evaluate(() => {
    window.session.answers.unshift(["GET /v1/preferences", () => ({ quiet: { until: "2999-12-31T00:00:00Z" } })]);
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.getByText("Do not disturb is on.").waitFor();
});

it("shows one notification where the browser is also pushed to, and none where it may not", async () => {
  own = await bed.context({ permissions: ["notifications"] });
  await own.addInitScript(() => {
    const shown: string[] = [];
    Object.assign(window, { shown });
    window.Notification = class extends EventTarget {
      static permission = "granted";
      static requestPermission = async () => "granted";
      constructor(title: string) { super(); shown.push(title); }
      close() {}
    } as never;
  });
  const page = await bed.page("none", own);
  const shown = () => page.evaluate(() => (window as unknown as { shown: string[] }).shown);
  const set = (name: string, on: boolean) => page.evaluate(({ name, on }) => localStorage.setItem(`watchbell ana ${name}`, String(on)), { name, on });
  await page.evaluate(() => Object.defineProperty(document, "visibilityState", { value: "hidden" }));
  await set("desktop", true);
  await newsHere(page, "By the page");
  await until("the page shows it", async () => (await shown()).join() === "By the page");
  await set("push", true);
  await newsHere(page, "By the worker");
  await set("push", false);
  await newsHere(page, "By the page again");
  await until("the page shows one", async () => (await shown()).length > 1);
  expect(await shown()).toEqual(["By the page", "By the page again"]);
});

it("does not keep what the browser does not allow, and goes on where a notification throws", async () => {
  own = await bed.context();
  await own.addInitScript(() => {
    window.Notification = class { static permission = "denied"; static requestPermission = async () => "denied"; constructor() { throw new TypeError("Illegal constructor"); } } as never;
  });
  const page = await bed.page("settings", own);
  await page.getByRole("checkbox", { name: "Desktop notifications" }).click();
  await page.getByText("Blocked in the browser's settings.").waitFor();
  expect(await page.evaluate(() => localStorage.getItem("watchbell ana desktop"))).toBe("false");
  expect(await page.getByRole("checkbox", { name: "Desktop notifications" }).isChecked()).toBe(false);
  await page.evaluate(() => {
    localStorage.setItem("watchbell ana desktop", "true");
    Object.assign(window.Notification, { permission: "granted" });
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
  });
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await newsHere(page, "Not shown by the desktop");
  await toasts(page).filter({ hasText: "Not shown" }).waitFor();
});

it("registers its worker under Trusted Types", async () => {
  own = await bed.context({ permissions: ["notifications"] });
  const page = await bed.page("settings", own, "/trusted");
  await page.evaluate(() => {
    window.session.answers.unshift(["GET /v1/webpush/key", () => ({ key: "BP" })]);
    // The push service is not there; that it is asked says that the worker is.
    PushManager.prototype.subscribe = async () => ({ toJSON: () => ({ endpoint: "https://push.example/1" }) }) as never;
  });
  await page.getByRole("checkbox", { name: "Notify me when this page is closed" }).click();
  await until("this browser is a device", async () => (await asked(page)).some((one) => one.startsWith("PUT /v1/devices/web-")));
  expect(await page.evaluate(async () => (await navigator.serviceWorker.ready).active?.scriptURL)).toBe(`${bed.url}/push-worker.js`);
});

it("shows how it stands and what is unread in forced colours, and prints nothing of it", async () => {
  own = await bed.context({ forcedColors: "active" });
  const page = await bed.page("open", own);
  const look = await page.evaluate(() => {
    const of = (name: string, pseudo?: string) => getComputedStyle(window.inbox.shadowRoot?.querySelector(name) as Element, pseudo);
    const canvas = getComputedStyle(document.body).backgroundColor;
    return [of(".bell .dot").backgroundColor !== canvas, of(".bell .dot").borderTopWidth, of(".unread .title > span", "::before").borderTopColor !== of(".panel").backgroundColor];
  });
  expect(look).toEqual([true, "1px", true]);
  await newsHere(page, "In a toast");
  await page.emulateMedia({ media: "print" });
  await panel(page).waitFor({ state: "hidden" });
  await page.locator("watchbell-inbox .bell").waitFor({ state: "hidden" });
  await page.locator("watchbell-inbox .toasts").waitFor({ state: "hidden" });
});

it("shows nobody what was of the person before", async () => {
  own = await bed.context();
  const page = await bed.page("open", own);
  await row(page, "Backup of orders").getByRole("button", { name: "Archive" }).click();
  await page.getByRole("button", { name: "Undo" }).waitFor();
  await page.evaluate(() => { window.inbox.client = new window.made.PageSession([window.made.aRow(1, { title: "Of Ben" })], "ben").client; });
  await row(page, "Of Ben").waitFor();
  expect(await page.locator("watchbell-inbox li").count()).toBe(1);
  expect(await page.getByRole("button", { name: "Undo" }).isVisible()).toBe(false);
});
