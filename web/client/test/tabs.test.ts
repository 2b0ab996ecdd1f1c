/** Which tab leads, in random stories of tabs that come, go, stand still and run again, on a virtual clock. */
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Event, type State, initial } from "../src/state.ts";
import { Tabs } from "../src/tabs.ts";

/** One browser: its lock, its channel, and tabs whose work waits while they stand still. */
class FakeBrowser {
  tabs: FakeTab[] = [];
  /** Whose work is being done: everything that a tab does begins with a task of its own. */
  current: FakeTab | null = null;
  holder: Held | null = null;
  line: Waiting[] = [];

  readonly locks = {
    request: (_: string, options: LockOptions, hold: (lock: object | null) => unknown): Promise<void> => {
      const tab = this.current as FakeTab;
      return new Promise((resolve, reject) => {
        const one: Waiting = { tab, hold, resolve: () => tab.run(resolve), reject: (error) => tab.run(() => reject(error)) };
        options.signal?.addEventListener("abort", () => {
          this.line = this.line.filter((other) => other !== one);
          one.reject(new DOMException("left", "AbortError"));
        });
        if (options.steal) {
          this.holder?.reject(new DOMException("stolen", "AbortError"));
          this.#grant(one);
        } else if (!this.holder) this.#grant(one);
        else if (options.ifAvailable) tab.run(() => { hold(null); resolve(); });
        else this.line.push(one);
      });
    },
    query: () => new Promise<void>((resolve) => this.current?.run(resolve)),
  };

  #grant(one: Waiting): void {
    this.holder = one;
    one.tab.run(() => void Promise.resolve(one.hold({})).then(() => {
      one.resolve();
      if (this.holder === one) this.release();
    }));
  }

  /** To whoever waits longest. */
  release(): void {
    this.holder = null;
    const next = this.line.shift();
    if (next) this.#grant(next);
  }

  say(from: FakeTab, data: unknown): void {
    for (const tab of this.tabs) if (tab !== from) tab.run(() => tab.channel?.onmessage?.({ data: structuredClone(data) }));
  }
}

interface Waiting { tab: FakeTab; hold: (lock: object | null) => unknown; resolve: () => void; reject: (error: Error) => void }
type Held = Waiting;

class FakeTab {
  state: State = { ...initial, wanted: true, role: "follower" };
  standsStill = false;
  channel: { onmessage: ((message: { data: unknown }) => void) | null } | null = null;
  share: Tabs | null = null;
  #waits: { isTimer: boolean; task: () => void }[] = [];

  constructor(readonly browser: FakeBrowser, readonly id: string) {
    browser.tabs.push(this);
    this.run(() => {
      this.share = new Tabs({
        id, name: "ana", values: new Map(), state: () => this.state, topics: () => [], take: () => undefined, othersChanged: () => undefined,
        hear: (event: Event) => {
          if (event.kind === "role") this.state = { ...this.state, role: event.role };
          this.share?.tell();
        },
        guard: (_, run) => run(), alone: (error) => { throw error; },
      });
    });
  }

  /** A task of this tab, which waits while it stands still. */
  run(task: () => void, isTimer = false): void {
    const begin = () => {
      if (this.standsStill) return void this.#waits.push({ isTimer, task });
      this.browser.current = this;
      task();
    };
    setTimeout(begin, 1);
  }

  /** Nobody promises the order of what waited: timers come first, which is the worst. */
  goOn(): void {
    this.standsStill = false;
    const waits = this.#waits.splice(0);
    for (const { task } of [...waits.filter(({ isTimer }) => isTimer), ...waits.filter(({ isTimer }) => !isTimer)]) this.run(task);
  }

  /** Closed: what it held is free, and it says so only where it still runs. */
  close(): void {
    const { browser } = this;
    browser.tabs = browser.tabs.filter((tab) => tab !== this);
    browser.line = browser.line.filter(({ tab }) => tab !== this);
    browser.current = this;
    if (!this.standsStill) this.share?.leave();
    this.standsStill = true;
    if (browser.holder?.tab === this) browser.release();
  }
}

let browser: FakeBrowser;
beforeEach(() => {
  vi.useFakeTimers();
  browser = new FakeBrowser();
  vi.stubGlobal("navigator", { get locks() { return browser.locks; } });
  vi.stubGlobal("document", { visibilityState: "visible" });
  vi.stubGlobal("BroadcastChannel", class {
    onmessage: ((message: { data: unknown }) => void) | null = null;
    #tab = browser.current as FakeTab;
    constructor() { this.#tab.channel = this; }
    postMessage(data: unknown): void { browser.say(this.#tab, data); }
    close(): void { this.#tab.channel = null; }
  });
  const every = globalThis.setInterval;
  // A timer of a tab that stands still is late, and fires once.
  vi.stubGlobal("setInterval", (run: () => void, ms: number) => {
    const tab = browser.current as FakeTab;
    let isDue = false;
    return every(() => {
      if (isDue) return;
      isDue = true;
      tab.run(() => { isDue = false; run(); }, true);
    }, ms);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const leaders = () => browser.tabs.filter((tab) => !tab.standsStill && tab.state.role === "leader").map(({ id }) => id);
const running = () => browser.tabs.filter((tab) => !tab.standsStill);

it("a leader that stands still is replaced within five seconds, and follows when it runs again", async () => {
  const [first, second] = [new FakeTab(browser, "a"), new FakeTab(browser, "b")];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(leaders()).toEqual(["a"]);
  first.standsStill = true;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(leaders()).toEqual(["b"]);
  first.goOn();
  await vi.advanceTimersByTimeAsync(20_000);
  expect([first.state.role, second.state.role]).toEqual(["follower", "leader"]);
});

it("a leader that answers keeps the lead, and so does one whose follower stood still", async () => {
  const [, second] = [new FakeTab(browser, "a"), new FakeTab(browser, "b")];
  await vi.advanceTimersByTimeAsync(60_000);
  expect(leaders()).toEqual(["a"]);
  second.standsStill = true;
  await vi.advanceTimersByTimeAsync(60_000);
  second.goOn();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(leaders()).toEqual(["a"]);
});

it("a follower does not take its own standing still for its leader's", async () => {
  const [first, second] = [new FakeTab(browser, "a"), new FakeTab(browser, "b")];
  await vi.advanceTimersByTimeAsync(2_000);
  first.standsStill = true;
  await vi.advanceTimersByTimeAsync(2_500); // It was asked, and has not answered.
  second.standsStill = true;
  first.goOn();
  await vi.advanceTimersByTimeAsync(60_000);
  second.goOn();
  for (let ms = 0; ms < 10_000; ms += 50) {
    await vi.advanceTimersByTimeAsync(50);
    expect(leaders()).toEqual(["a"]);
  }
});

type Act = { act: "open" } | { act: "close" | "stand-still" | "go-on"; nth: number } | { act: "pass"; ms: number };
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.constant({ act: "open" as const }),
  fc.record({ act: fc.constantFrom("close" as const, "stand-still" as const, "go-on" as const), nth: fc.nat(5) }),
  fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(1, 30, 900, 2_600, 6_000) }),
);

it("exactly one of the tabs that run leads, whatever happens to the others", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      browser = new FakeBrowser();
      let opened = 0;
      for (const one of acts) {
        const tab = "nth" in one ? browser.tabs[one.nth % Math.max(1, browser.tabs.length)] : undefined;
        if (one.act === "open" && browser.tabs.length < 5) new FakeTab(browser, `t${++opened}`);
        if (one.act === "close") tab?.close();
        if (one.act === "stand-still" && tab) tab.standsStill = true;
        if (one.act === "go-on") tab?.goOn();
        if (one.act === "pass") await vi.advanceTimersByTimeAsync(one.ms);
      }
      await vi.advanceTimersByTimeAsync(15_000);
      expect(leaders().length).toBe(Math.min(1, running().length));
      for (const tab of browser.tabs) tab.goOn();
      await vi.advanceTimersByTimeAsync(15_000);
      expect(leaders().length).toBe(Math.min(1, browser.tabs.length));
      for (const tab of [...browser.tabs]) tab.close();
      await vi.advanceTimersByTimeAsync(100);
      expect(browser.holder).toBeNull();
    }),
    { numRuns: Number(process.env["RUNS"] ?? 200) },
  );
}, 120_000);
