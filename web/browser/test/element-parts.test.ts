/** Each part of `<watchbell-inbox>` over a session that is made up: rows, groups, the panel's place, toasts, states, keys, settings, languages. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BrowserContext } from "playwright-core";
import { MadeUp, asked, focused, panel, row, said, toasts, violations } from "../bed/made-up.ts";
import { until } from "../bed/until.ts";

let bed: MadeUp;
beforeAll(async () => { bed = await MadeUp.start(); });
afterAll(() => bed.close());
/** Pages that share nothing with those of other tests. */
let own: BrowserContext | undefined;
afterEach(async () => {
  await own?.close();
  own = undefined;
});

describe("rows", () => {
  it("are clamped to two and three lines, and shown whole when asked", async () => {
    const page = await bed.page("open");
    const card = row(page, "The certificate of shop");
    const heights = () => card.evaluate((card) => [".title > span", ".body"].map((name) => {
      const part = card.querySelector(name) as HTMLElement;
      return Math.round(part.clientHeight / parseFloat(getComputedStyle(part).lineHeight));
    }));
    expect(await heights()).toEqual([2, 3]);
    await card.getByRole("button", { name: "Show more" }).click();
    expect((await heights()).map((lines, at) => lines > (at ? 3 : 2))).toEqual([true, true]);
    await card.getByRole("button", { name: "Show less" }).click();
    expect(await heights()).toEqual([2, 3]);
    expect(await row(page, "Checkout answers").getByRole("button", { name: "Show more" }).count()).toBe(0);
  });

  it("have tools whose names show when pointed at and with the focus; texts of others in their own direction", async () => {
    const page = await bed.page("open");
    const dismiss = row(page, "Checkout answers").getByRole("button", { name: "Archive: Checkout answers" });
    const tip = dismiss.locator(".tip");
    expect([await dismiss.innerText(), await tip.isVisible()]).toEqual(["", false]);
    await dismiss.hover();
    await tip.waitFor();
    expect(await tip.innerText()).toBe("Archive");
    await page.mouse.move(0, 0);
    await tip.waitFor({ state: "hidden" });
    await page.keyboard.press("Tab");
    await dismiss.focus();
    await tip.waitFor();
    const without = await page.evaluate(() => [...window.inbox.shadowRoot?.querySelectorAll(".title, .body, .meta > span:not(.severity), .answers button") ?? []].filter((part) => part.getAttribute("dir") !== "auto").length);
    expect(without).toBe(0);
  });

  it("of an alert that somebody is to take on have buttons for that, and say who has it once the server does", async () => {
    const page = await bed.page("open");
    const become = (acknowledgement: { by?: string }, status: "firing" | "resolved" = "firing") => page.evaluate(([acknowledgement, status]) => {
      window.session.news({ ...window.made.aRow(-1, { title: "Disk full", status, acknowledgement }), seq: 20_000 });
    }, [acknowledgement, status] as const);
    await become({});
    const card = row(page, "Disk full");
    const press = (name: string) => card.getByRole("button", { name: `${name}: Disk full` });
    await press("Acknowledge").waitFor();
    expect(await violations(page)).toEqual([]);

    // Refused, it is not shown, and the panel says why; said again, it is the server that shows it.
    await page.evaluate(() => window.session.answers.unshift(["POST /v1/inbox/receipts", () => { throw new Error("this user says more than is read"); }]));
    await press("Acknowledge").click();
    await panel(page).getByText("Not accepted: this user says more than is read").waitFor();
    expect([await press("Acknowledge").count(), await said(page)]).toEqual([1, []]);
    await page.evaluate(() => {
      window.session.answers.shift();
      window.session.answers.unshift(["POST /v1/inbox/receipts", (_, body) => { window.session.said.push(JSON.stringify(body)); return {}; }]);
    });
    await press("Acknowledge").click();
    await until("it is said", async () => (await said(page)).length === 1);
    await press("Not me").click();
    await until("it is said as well", async () => (await said(page)).length === 2);
    expect(await said(page)).toEqual(['{"alerts":["alert--1"],"state":"acknowledged"}', '{"alerts":["alert--1"],"state":"passed_on"}']);

    for (const [by, text] of [["ben", "ben has it"], ["ana", "You have it"], ["~erased", "Somebody has it"]] as const) {
      await become({ by });
      await card.getByText(text).waitFor();
      // Whoever has it may give it back, and nobody else.
      expect([await press("Acknowledge").count(), await press("Not me").count()]).toEqual([0, by === "ana" ? 1 : 0]);
    }
    await become({}, "resolved");
    await card.getByText("resolved").waitFor();
    expect(await press("Acknowledge").count()).toBe(0);
  });

  it("have buttons of their own: an answer is said and shown, an address is opened", async () => {
    const page = await bed.page("open");
    const opened = page.evaluate(() => new Promise((resolve) => window.inbox.addEventListener("watchbell-open", (event) => {
      event.preventDefault();
      resolve((event as CustomEvent<{ url: string }>).detail.url);
    })));
    await row(page, "Checkout answers").getByRole("button", { name: "Dashboard" }).click();
    expect(await opened).toBe("https://example.com/d");
    expect(await said(page)).toEqual(["alert-1 read"]);
    await row(page, "May refund").getByRole("button", { name: "Approve" }).click();
    await row(page, "May refund").getByText("Answered: Approve").waitFor();
    expect((await said(page)).at(-1)).toBe("alert-6 answered");
    expect(await row(page, "May refund").getByRole("button", { name: "Refuse" }).count()).toBe(0);
  });

  it("render Markdown through text, whatever it says", async () => {
    const page = await bed.page("none&open");
    await page.evaluate(() => window.session.news(window.made.aRow(0, {
      title: "<b>T</b>", body_format: "markdown", image: "https://127.0.0.1:1/none.png",
      body: "**<img src=x onerror=window.hacked=1>** [run](javascript:window.hacked=1) [ok](https://a.example/\"onmouseover=1) `<script>window.hacked=1</script>`\n*[<svg onload=window.hacked=1>](https://b.example)*",
    })));
    const card = row(page, "<b>T</b>");
    await card.locator("strong").waitFor();
    const found = await card.locator(".body").evaluate((body) => ({
      tags: [...body.querySelectorAll("*")].map(({ localName }) => localName).sort(), links: [...body.querySelectorAll("a")].map((link) => [link.href, link.rel, link.target]),
      handlers: [...body.querySelectorAll("*")].flatMap((one) => [...one.attributes].filter(({ name }) => name.startsWith("on"))).length, hacked: "hacked" in window,
    }));
    expect(found).toEqual({
      tags: ["a", "a", "br", "code", "em", "strong"], handlers: 0, hacked: false,
      links: [["https://a.example/%22onmouseover=1", "noopener noreferrer", "_blank"], ["https://b.example/", "noopener noreferrer", "_blank"]],
    });
    // A picture that does not come leaves no hole.
    await card.locator("img").waitFor({ state: "detached" });
  });

  it("are put together by their group, which opens", async () => {
    const page = await bed.page("open");
    const group = page.getByRole("button", { name: "2 more from checkout, 1 unread" });
    expect(await row(page, "Checkout is slow").count()).toBe(0);
    await group.click();
    await row(page, "Checkout is slow").waitFor();
    await row(page, "Checkout deploy 418").waitFor();
    expect(await group.getAttribute("aria-expanded")).toBe("true");
    await group.click();
    await row(page, "Checkout is slow").waitFor({ state: "detached" });
  });

  it("of the page's own are reached by its style sheet, and act; slots and parts change the rest", async () => {
    const page = await bed.page("open");
    await page.evaluate(() => {
      const sheet = document.createElement("style");
      sheet.textContent = ".own { color: rgb(1, 2, 3) } watchbell-inbox::part(critical) { outline: 3px solid rgb(4, 5, 6) }";
      document.head.append(sheet);
      window.inbox.insertAdjacentHTML("beforeend", "<a slot='foot' href='/all'>Everything</a>");
      window.inbox.renderRow = ({ alert }, act) => {
        if (alert.source !== "billing") return null;
        const own = document.createElement("p");
        own.className = "own";
        own.textContent = `Mine: ${alert.title}`;
        own.onclick = () => act("read");
        return own;
      };
    });
    const own = page.getByText("Mine: May refund");
    expect(await own.evaluate((own) => getComputedStyle(own).color)).toBe("rgb(1, 2, 3)");
    expect(await row(page, "Checkout answers").evaluate((card) => getComputedStyle(card).outlineColor)).toBe("rgb(4, 5, 6)");
    await page.getByRole("link", { name: "Everything" }).waitFor();
    await own.click();
    expect(await said(page)).toEqual(["alert-6 read"]);
    expect(await page.locator(".own").count()).toBe(1);
    await page.evaluate(() => { window.inbox.renderRow = null; });
    expect(await page.locator(".own").count()).toBe(0);
  });
});

describe("the panel", () => {
  it.each(["anchor positioning", "measuring"])("is within the window by %s, wherever the bell is", async (by) => {
    own = await bed.context();
    if (by === "measuring") await own.addInitScript(() => { CSS.supports = () => false; });
    const page = await bed.page("", own);
    if (by === "measuring") await page.evaluate(() => {
      // As in a browser that does not know these properties.
      for (const sheet of window.inbox.shadowRoot?.adoptedStyleSheets ?? []) [...sheet.cssRules].forEach((rule, at) => { if (rule instanceof CSSSupportsRule) sheet.deleteRule(at); });
    });
    for (const width of [360, 700, 1_280]) {
      await page.setViewportSize({ width, height: 640 });
      for (const dir of ["ltr", "rtl"]) for (const side of ["left", "right", "center"]) for (const top of [4, 300, 580]) {
        const off = await page.evaluate(async ({ dir, side, top }) => {
          document.documentElement.dir = dir;
          document.querySelector("main")?.setAttribute("style", `text-align: ${side}; padding-top: ${top}px`);
          window.inbox.toggle(true);
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
          const { left, right, top: upper, bottom, width, height } = window.inbox.shadowRoot?.querySelector(".panel")?.getBoundingClientRect() as DOMRect;
          const bell = window.inbox.shadowRoot?.querySelector(".bell")?.getBoundingClientRect() as DOMRect;
          window.inbox.toggle(false);
          const isSheet = innerWidth <= 480;
          const covers = !isSheet && upper < bell.bottom && bottom > bell.top && left < bell.right && right > bell.left;
          const fits = left >= 0 && upper >= 0 && right <= innerWidth && bottom <= innerHeight && width >= Math.min(350, innerWidth - 20) && height > 150;
          return fits && !covers ? "" : JSON.stringify({ left, right, upper, bottom, bell });
        }, { dir, side, top });
        expect(off, `${width} px, ${dir}, ${side}, ${top}`).toBe("");
      }
    }
  });

  it("is a sheet at the foot of what a phone shows of a page that is wider than its screen", async () => {
    own = await bed.context({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 780 } });
    const page = await bed.page("", own);
    await page.evaluate(() => {
      // A phone that does not shrink the page, as with `initial-scale=1`.
      document.querySelector<HTMLMetaElement>("meta[name=viewport]")?.setAttribute("content", "width=device-width, initial-scale=1");
      document.body.append(Object.assign(document.createElement("p"), { textContent: "wide", style: "width: 900px" }));
    });
    await until("only a part of the page is in view", () => page.evaluate(() => (visualViewport?.width ?? 0) < innerWidth));
    await page.evaluate(() => window.inbox.toggle(true));
    const corners = () => page.evaluate(() => {
      const { left, right, bottom } = window.inbox.shadowRoot?.querySelector(".panel")?.getBoundingClientRect() as DOMRect;
      const { offsetLeft = 0, offsetTop = 0, width = 0, height = 0 } = visualViewport ?? {};
      return [left - offsetLeft, right - offsetLeft - width, bottom - offsetTop - height].map(Math.round);
    });
    await until("it is where one looks", async () => (await corners()).every((off) => Math.abs(off) <= 1));
    expect(await page.locator("watchbell-inbox [data-control=help]").isVisible(), "nobody there has keys").toBe(false);
  });

  it("is within a frame, and over what cuts off and moves its elements", async () => {
    own = await bed.context();
    const around = await own.newPage();
    await around.goto(`${bed.url}/framed`);
    const frame = around.frameLocator("iframe");
    await frame.getByRole("button", { name: /^Alerts/ }).click();
    const box = await frame.locator(".panel").evaluate((panel) => panel.getBoundingClientRect().toJSON() as DOMRect);
    expect([box.left >= 0, box.right <= 420, box.bottom <= 500, box.height > 300]).toEqual([true, true, true, true]);
    const page = await bed.page();
    await page.evaluate(() => document.querySelector("main")?.setAttribute("style", "transform: translate(0); overflow: hidden; height: 5rem; width: 6rem; padding: 1rem"));
    await page.getByRole("button", { name: /^Alerts/ }).click();
    await row(page, "Checkout answers").getByRole("button", { name: "Archive" }).click(); // It is not cut off.
  });
});

describe("toasts", () => {
  it("show the worst three, and the rest behind a button that opens the panel, over which there are none", async () => {
    const page = await bed.page("none");
    await page.evaluate(() => {
      for (const [nth, severity] of (["info", "critical", "info", "warning", "critical"] as const).entries()) window.session.news(window.made.aRow(-nth, { title: `${severity} ${nth}`, severity }));
    });
    await toasts(page).first().waitFor();
    expect(await toasts(page).locator(".title").allInnerTexts()).toEqual(["critical 4", "critical 1", "warning 3"]);
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "and 2 more" }).click();
    await panel(page).waitFor();
    expect(await toasts(page).count()).toBe(0);
    await page.evaluate(() => window.session.news(window.made.aRow(-9, { title: "While it is open", severity: "critical" })));
    await row(page, "While it is open").waitFor();
    expect(await toasts(page).count()).toBe(0);
  });

  it("go when seen elsewhere, when closed and by themselves, but critical ones stay", async () => {
    own = await bed.context();
    const page = await bed.page("none", own);
    await page.clock.install();
    await page.evaluate(() => window.session.news(...(["Seen elsewhere", "Closed", "Of its time"].map((title, nth) => window.made.aRow(nth, { title })))));
    await page.evaluate(() => window.session.say(["alert-0"], "seen"));
    await toasts(page).filter({ hasText: "Seen elsewhere" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Hide: Closed" }).click();
    await toasts(page).filter({ hasText: "Closed" }).waitFor({ state: "detached" });
    expect(await said(page)).toEqual(["alert-0 seen"]);
    await page.evaluate(() => window.session.news(window.made.aRow(-1, { title: "Critical", severity: "critical" })));
    await page.mouse.move(0, 0);
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.clock.fastForward(60_000);
    await toasts(page).filter({ hasText: "Of its time" }).waitFor({ state: "detached" });
    await toasts(page).filter({ hasText: "Critical" }).waitFor();
  });

  it("stay for their time when they were seen by themselves", async () => {
    const page = await bed.page("none");
    await page.evaluate(() => {
      window.inbox.removeAttribute("manual-seen");
      window.session.news(window.made.aRow(0, { title: "On screen" }));
    });
    await until("it was seen", async () => (await said(page)).includes("alert-0 seen"));
    expect(await toasts(page).filter({ hasText: "On screen" }).count()).toBe(1);
  });

  it("are swiped away, and a long press shows what a picture is for", async () => {
    own = await bed.context({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 780 } });
    const page = await bed.page("none", own);
    await page.evaluate(() => window.session.news(window.made.aRow(0, { title: "Swiped" }), window.made.aRow(1, { title: "Pressed" })));
    const box = async (title: string) => (await toasts(page).filter({ hasText: title }).boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const input = await page.context().newCDPSession(page);
    const touchAt = (type: "touchStart" | "touchMove" | "touchEnd", x = 0, y = 0) => input.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x, y }] });
    await toasts(page).filter({ hasText: "Swiped" }).waitFor();
    const { x, y } = await box("Swiped");
    await touchAt("touchStart", x + 30, y + 10);
    for (let by = 30; by <= 150; by += 30) await touchAt("touchMove", x + 30 + by, y + 10);
    await touchAt("touchEnd");
    await toasts(page).filter({ hasText: "Swiped" }).waitFor({ state: "detached" });
    const dismiss = toasts(page).filter({ hasText: "Pressed" }).getByRole("button", { name: "Archive" });
    const at = (await dismiss.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    expect([at.width, at.height]).toEqual([44, 44]);
    await touchAt("touchStart", at.x + 20, at.y + 20);
    await dismiss.locator(".tip").waitFor();
    await touchAt("touchEnd");
    expect(await said(page)).toEqual([]);
  });
});

describe("states", () => {
  it("have their own words, above the alerts and without any, and a remedy, and go by themselves", async () => {
    const page = await bed.page("open");
    for (const [reason, status, text, remedy, does] of [
      ["signed-out", "closed", "You are signed out.", "Sign in again", "sign-in"],
      ["origin", "closed", "This site may not connect", "Try now", "retry"],
      ["refused", "closed", "The server refused", "Try now", "retry"],
      ["gave-up", "closed", "Connecting failed too often", "Try now", "retry"],
      ["offline", "offline", "You are offline", "", ""],
      ["unreachable", "offline", "The server does not answer", "Try now", "retry"],
      ["blocked", "reconnecting", "Something else answers", "Try now", "retry"],
    ] as const) {
      await page.evaluate(({ reason, status }) => {
        window.session.asked.length = 0;
        window.session.become({ reason, status, alerts: [window.made.aRow(1, { title: "From before" })] });
      }, { reason, status });
      await page.getByText(text).waitFor();
      await row(page, "From before").waitFor();
      if (reason === "signed-out") expect(await violations(page)).toEqual([]);
      if (remedy) {
        await page.getByRole("button", { name: remedy }).click();
        expect(await asked(page)).toContain(does);
      }
      await page.evaluate(() => window.session.become({ alerts: [] }));
      await page.getByText(text).waitFor();
      await page.locator("watchbell-inbox .standing:not(.above)").waitFor();
      if (reason === "blocked") expect(await violations(page)).toEqual([]);
      await page.evaluate(() => window.session.become({ reason: null, status: "live" }));
      await page.getByText("Nothing here.").waitFor();
    }
  });

  it("loading is not empty", async () => {
    const page = await bed.page("none&open&loading");
    await page.getByText("Loading…").waitFor();
    await page.evaluate(() => window.session.become({ loaded: true }));
    await page.getByText("Nothing here.").waitFor();
    expect(await violations(page)).toEqual([]);
  });
});

describe("by keyboard and ear", () => {
  it("gives the focus in and back, and never loses it", async () => {
    const page = await bed.page();
    await page.keyboard.press("Tab");
    expect(await focused(page)).toBe("bell");
    await page.keyboard.press("Enter");
    await row(page, "Checkout answers").waitFor();
    expect((await focused(page)).split(" ")).toContain("panel");
    await page.keyboard.press("ArrowDown");
    expect(await focused(page)).toBe("Checkout answers 503 in Frankfurt");
    await page.keyboard.press("R");
    expect(await said(page)).toEqual(["alert-1 read"]);
    await page.keyboard.press("U");
    expect((await said(page)).at(-1)).toBe("alert-1 unread");
    await page.keyboard.press("End");
    expect(await focused(page)).toBe("Disk of db-2 is at 81 %");
    await page.keyboard.press("Delete");
    expect(await focused(page)).toBe("Backup of orders finished");
    await page.keyboard.press("?");
    await until("the keys are told", async () => (await focused(page)) === "help");
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await until("the focus is back", async () => (await focused(page)) === "help");
    // "Show older" goes when there is nothing older.
    await page.evaluate(() => window.session.become({ hasMore: true }));
    await page.getByRole("button", { name: "Show older" }).focus();
    await page.evaluate(() => window.session.become({ hasMore: false }));
    await until("a row has the focus", async () => (await focused(page)) === "Backup of orders finished");
    await page.keyboard.press("Escape");
    expect(await focused(page)).toBe("bell");
    await page.keyboard.press("Enter");
    await panel(page).waitFor();
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("Escape"); // With the focus elsewhere.
    await panel(page).waitFor({ state: "hidden" });
  });

  it("speaks a new critical alert once, and at once", async () => {
    const page = await bed.page("none");
    const alert = page.getByRole("alert");
    await page.evaluate(() => {
      const row = window.made.aRow(0, { title: "The shop is down", severity: "critical" });
      window.session.news(row);
      window.session.news(window.made.aRow(1, { title: "By the way" }));
      window.session.become({ unread: 1 });
    });
    expect(await alert.locator("p").allInnerTexts()).toEqual(["critical: The shop is down"]);
    expect(await page.locator("watchbell-inbox [aria-live=polite]").innerText()).toBe("info: By the way");
  });
});

describe("settings", () => {
  it("store channels by category, how mails come, quiet hours and their zone on the server, and undo what it refuses", async () => {
    const page = await bed.page("settings");
    const stored: unknown[] = [];
    await page.exposeFunction("stored", (body: unknown) => { stored.push(body); });
    await page.evaluate(() => {
      let now: unknown = { channels: { email: false }, other: 1 };
      window.session.answers.unshift(["GET /v1/preferences", () => now], ["PUT /v1/preferences", (_path, body) => { now = body; void (window as unknown as { stored(body: unknown): void }).stored(body); }]);
    });
    await page.getByRole("checkbox", { name: "approvals by Push" }).uncheck();
    await page.getByText("Saved.").waitFor();
    expect(stored.at(-1)).toEqual({ channels: { email: false }, other: 1, categories: { approvals: { push: false } } });
    await page.getByRole("button", { name: "Add quiet hours" }).click();
    await until("they are stored", () => stored.length === 2);
    for (const day of ["Sat", "Sun"]) await page.getByRole("checkbox", { name: day, exact: true }).uncheck();
    await until("they are of five days", () => JSON.stringify((stored.at(-1) as { quiet?: { windows?: { days: string[] }[] } }).quiet?.windows?.[0]?.days) === '["mon","tue","wed","thu","fri"]');
    await page.getByRole("combobox", { name: "Time zone" }).fill("Asia/Tokyo");
    await page.keyboard.press("Tab");
    await until("the zone is stored", () => (stored.at(-1) as { quiet?: { zone?: string } }).quiet?.zone === "Asia/Tokyo");
    await page.getByRole("combobox", { name: "Time zone" }).fill("Mars/Olympus");
    await page.keyboard.press("Tab");
    await page.getByText("There is no such time zone.").waitFor();
    await page.getByRole("combobox", { name: "They come" }).selectOption("Gathered, once a day");
    await page.getByLabel("At", { exact: true }).fill("18:30");
    await page.keyboard.press("Tab");
    await until("mails come in the evening", () => JSON.stringify((stored.at(-1) as { digest?: unknown }).digest) === '{"every":"day","at":"18:30"}');
    await page.evaluate(() => window.session.answers.unshift(["PUT /v1/preferences", () => { throw new Error("too many categories"); }]));
    await page.getByRole("checkbox", { name: "expiry by Push" }).click();
    await page.getByText("Not saved: too many categories").waitFor();
    expect(await page.getByRole("checkbox", { name: "expiry by Push" }).isChecked()).toBe(true);
    expect(await violations(page)).toEqual([]);
  });

  it("test and forget devices, of which this browser is one", async () => {
    const page = await bed.page("settings");
    await page.getByText("Browser, this browser").waitFor();
    await page.getByRole("button", { name: "Send a test: iPhone or iPad" }).click();
    await page.getByText("A test is on its way.").waitFor();
    await page.getByRole("button", { name: "Forget: iPhone or iPad" }).click();
    await page.getByText("It is forgotten.").waitFor();
    expect((await asked(page)).filter((one) => one.includes("phone-1"))).toEqual(["POST /v1/devices/phone-1/test", "DELETE /v1/devices/phone-1"]);
  });

  it("are an element of their own, too", async () => {
    const page = await bed.page("none");
    await page.evaluate(() => {
      const own = document.createElement("watchbell-preferences");
      own.client = window.session.client;
      own.setAttribute("push-worker", "/push-worker.js");
      document.querySelector("main")?.append(own);
    });
    const screen = page.locator("watchbell-preferences");
    await screen.getByRole("combobox", { name: "Do not disturb" }).selectOption("hour");
    await until("it is asked for", async () => (await asked(page)).includes("PUT /v1/preferences"));
    await screen.getByRole("heading", { name: "Quiet hours" }).waitFor();
    expect((await screen.boundingBox())?.width, "it takes the room that it is given").toBeGreaterThan(600);
    expect(await violations(page)).toEqual([]);
  });
});

describe("languages", () => {
  it("turns from right to left in Arabic, and takes what a page adds", async () => {
    const page = await bed.page("open");
    await page.evaluate(() => window.inbox.setAttribute("lang", "ar"));
    await page.getByRole("heading", { name: "التنبيهات" }).waitFor();
    expect(await panel(page).getAttribute("dir")).toBe("rtl");
    expect(await violations(page)).toEqual([]);
    await page.evaluate(() => {
      window.inbox.setAttribute("lang", "pt-BR");
      window.made.registerLanguage("pt", { title: "Alertas", archived: "Arquivo" });
    });
    await page.getByRole("heading", { name: "Alertas" }).waitFor();
    await page.getByRole("button", { name: "Arquivo" }).waitFor();
    expect(await panel(page).getAttribute("dir")).toBe("ltr");
  });
});
