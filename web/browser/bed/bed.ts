/** What a test stands on: a server, a network before it, a Chromium. */
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import { build } from "vite";
import { join } from "node:path";
import type { Watchbell } from "@watchbell/client";
import { Network } from "./network.ts";
import { Fleet, type Server, Up } from "./server.ts";
import { until } from "./until.ts";

export const CHROMIUM = process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium";
export const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

declare global {
  interface Window {
    client: Watchbell;
    /** Every status there was, every toast assigned to this tab, every change with its time. */
    statuses: string[];
    toasts: string[];
    changes: { at: number; states: Record<string, string> }[];
    events: unknown[];
    mount(): void;
    /** In the bare page alone. */
    Watchbell: typeof Watchbell;
  }
}

/** `services`: RabbitMQ, PostgreSQL and two socket pods in place of `watchbell up`. */
export const ENGINE = process.env["WATCHBELL_ENGINE"] ?? "embedded";

export class Bed<S extends Server = Server> {
  private constructor(readonly server: S, readonly network: Network, readonly browser: Browser) {}

  /** On the engine that the tests are run for. */
  static start(): Promise<Bed> {
    return Bed.on<Server>(ENGINE === "services" ? Fleet.start() : Up.start());
  }

  static async on<S extends Server>(starting: Promise<S>): Promise<Bed<S>> {
    const [server, files] = await Promise.all([starting, bundlePage()]);
    const network = await Network.start(server.address, files);
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    return new Bed<S>(server, network, browser);
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.network.close();
    await this.server.close();
  }

  /** A page with `<watchbell-inbox>` over a session of `user`, live unless `wait` is false. */
  async page(context: BrowserContext, { user = "ana", query = "", wait = true } = {}): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => { throw error; });
    await page.goto(`${this.network.url}/test/?user=${user}&token=${this.server.token(user)}&${query}`);
    if (wait) await this.status(page, "live");
    return page;
  }

  /** A page with nothing in it but the class of the client, in `window.Watchbell`. */
  async barePage(context: BrowserContext): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => { throw error; });
    await page.goto(`${this.network.url}/bare/`);
    return page;
  }

  async status(page: Page, wanted: string, withinMs = 20_000): Promise<void> {
    await until(`the indicator says ${wanted}`, async () => (await shownStatus(page)) === wanted, withinMs);
  }
}

export const shownStatus = (page: Page): Promise<string | undefined> =>
  page.evaluate(() => document.querySelector("watchbell-inbox")?.shadowRoot?.querySelector<HTMLElement>(".bell")?.dataset["status"]);

export const unread = (page: Page): Promise<number> => page.evaluate(() => window.client.snapshot.unread);

export const badge = (page: Page): Promise<{ unread: number; waiting: number }> =>
  page.evaluate(() => ({ unread: window.client.snapshot.unread, waiting: window.client.snapshot.waiting }));

export const states = (page: Page): Promise<Record<string, string>> =>
  page.evaluate(() => Object.fromEntries(window.client.snapshot.alerts.map((row) => [row.alert.id, row.state])));

/** The test pages and the service worker, by the path they are served under. */
async function bundlePage(): Promise<Map<string, { type: string; body: string }>> {
  const files = new Map([["/test/", { type: "text/html", body: PAGE }], ["/bare/", { type: "text/html", body: BARE_PAGE }]]);
  const whole = [["/test/page.js", "page/page.tsx"], ["/bare/whole.js", "page/bare.ts"], ["/push-worker.js", "../inbox/src/push-worker.ts"]] as const;
  for (const [path, entry] of whole) files.set(path, (await bundle(entry, false))[0]);
  // In parts, as a bundler makes them for a page: what is loaded when it is needed is loaded then.
  for (const { name, ...file } of await bundle("page/bare.ts", true)) files.set(`/bare/${name}`, file);
  return files;
}

interface Built { name: string; type: string; body: string }

async function bundle(entry: string, codeSplitting: boolean): Promise<[Built, ...Built[]]> {
  const root = join(import.meta.dirname, "..");
  const result = await build({
    root, base: "./", configFile: false, logLevel: "warn", mode: "production", oxc: { jsx: { runtime: "automatic", development: false } },
    resolve: { conditions: ["watchbell-source"] },
    define: { "process.env.NODE_ENV": '"production"' },
    build: {
      write: false, minify: false, target: "es2022", modulePreload: false,
      rolldownOptions: { input: join(root, entry), output: { codeSplitting, entryFileNames: "page.js", chunkFileNames: "[name].js" } },
    },
  });
  const chunks = [result].flat().flatMap((one) => ("output" in one ? one.output : []));
  return chunks.flatMap((chunk) => (chunk.type === "chunk" ? [{ name: chunk.fileName, type: "text/javascript", body: chunk.code }] : [])) as [Built, ...Built[]];
}

const PAGE = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Test</title><meta name="viewport" content="width=device-width"></head>
<body style="margin:2rem;text-align:right"><main><h1>Test</h1><watchbell-inbox></watchbell-inbox><div id="react"></div></main><script type="module" src="/test/page.js"></script></body></html>`;

const BARE_PAGE = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Bare</title></head><body><script src="/bare/page.js" type="module"></script></body></html>`;
