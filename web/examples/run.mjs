/**
 * Builds the examples as their users would, with the packed packages in place of those of a registry, and looks at each in
 * Chromium: the server draws the page, the bell renders, and an alert of a running `watchbell up` shows, in the badge, in the
 * panel and in the example's own list. An error in the page fails it.
 */
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { buildPackages, pack, root } from "../scripts/packages.mjs";

const ALL = ["next", "nuxt", "sveltekit", "astro"];
/** Installed and built within the time that CI has. */
const IN_CI = ["next", "sveltekit"];

const target = process.env.CARGO_TARGET_DIR ?? join(root, "../target");
const BIN = process.env.WATCHBELL_BIN ?? join(target, "debug/watchbell");
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const WORK = join(target, "web-examples");
const WAIT_MS = 30_000;

const asked = process.argv.slice(2);
const named = asked.filter((one) => ALL.includes(one));
const unknown = asked.find((one) => !ALL.includes(one) && one !== "--all" && one !== "--renew");
if (unknown) throw new Error(`${unknown} is none of ${ALL.join(", ")}, --all, --renew`);
const chosen = named.length ? named : asked.length ? ALL : IN_CI;

await packAll();
if (asked.includes("--renew")) for (const name of chosen) await renew(name);
else await runAll();

async function runAll() {
  const ports = new Map(await Promise.all(chosen.map(async (name) => [name, await freePort()])));
  const running = [];
  const dir = await mkdtemp(join(tmpdir(), "watchbell-examples-"));
  try {
    const demo = await up(dir, [...ports.values()], running);
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
    running.push({ stop: () => browser.close() });
    for (const name of chosen) {
      const began = Date.now();
      await install(name);
      const installed = Date.now();
      npm(name, ["run", "build"]);
      const built = Date.now();
      await look(name, ports.get(name), demo, browser, running);
      const seconds = (from, to) => `${((to - from) / 1_000).toFixed(1)} s`;
      console.log(`${name}: installed ${seconds(began, installed)}, built ${seconds(installed, built)}, looked at ${seconds(built, Date.now())}`);
    }
  } finally {
    for (const one of running.toReversed()) await one.stop();
    await rm(dir, { recursive: true });
  }
  console.log(`${chosen.length} passed, 0 failed`);
}

// ---- What they are made of.

/** The packages under names without their version, so that a lockfile stays good. */
async function packAll() {
  const packed = join(WORK, "packed");
  await rm(packed, { recursive: true, force: true });
  await mkdir(packed, { recursive: true });
  await buildPackages();
  for (const { name, archive } of pack(packed)) await rename(archive, join(packed, `${name.replace("@", "").replace("/", "-")}.tgz`));
}

/** The example, in a folder of its own; `node_modules` and what frameworks keep there stay. */
async function lay(name) {
  const into = join(WORK, name);
  await mkdir(into, { recursive: true });
  const kept = new Set(["node_modules", "lock"]);
  for (const file of await readdir(into)) if (!kept.has(file)) await rm(join(into, file), { recursive: true });
  await cp(join(root, "examples", name), into, { recursive: true });
  await cp(join(WORK, "packed"), join(into, "packed"), { recursive: true });
  return into;
}

async function install(name) {
  const into = await lay(name);
  const lock = await readFile(join(into, "package-lock.json"), "utf8");
  const isInstalled = existsSync(join(into, "lock")) && (await readFile(join(into, "lock"), "utf8")) === lock;
  if (!isInstalled) {
    await rm(join(into, "lock"), { force: true });
    npm(name, ["ci", "--no-audit", "--no-fund", "--prefer-offline"]);
    await writeFile(join(into, "lock"), lock);
    return;
  }
  // What npm would do with the archives, and nothing else.
  for (const [at, { resolved }] of Object.entries(JSON.parse(lock).packages)) {
    if (!resolved?.startsWith("file:packed/")) continue;
    await rm(join(into, at), { recursive: true, force: true });
    await mkdir(join(into, at), { recursive: true });
    execFileSync("tar", ["xzf", join(into, resolved.slice("file:".length)), "--strip-components=1", "-C", join(into, at)]);
  }
}

/** The lockfile says which version of everything; of our own packages no hash, because they are those of the sources beside it. */
async function renew(name) {
  const into = await lay(name);
  await rm(join(into, "package-lock.json"), { force: true });
  npm(name, ["install", "--package-lock-only", "--no-audit", "--no-fund"]);
  const lock = JSON.parse(await readFile(join(into, "package-lock.json"), "utf8"));
  for (const one of Object.values(lock.packages)) if (one.resolved?.startsWith("file:packed/")) delete one.integrity;
  await writeFile(join(root, "examples", name, "package-lock.json"), `${JSON.stringify(lock, null, 2)}\n`);
}

function npm(name, args) {
  // Vite, which built the packages in this process, leaves NODE_ENV behind; npm would leave out what is only for building.
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", NUXT_TELEMETRY_DISABLED: "1", ASTRO_TELEMETRY_DISABLED: "1", NODE_ENV: undefined };
  try {
    execFileSync("npm", args, { cwd: join(WORK, name), env, stdio: "pipe", encoding: "utf8" });
  } catch (error) {
    throw new Error(`${name}: npm ${args.join(" ")} failed\n${error.stdout}\n${error.stderr}`, { cause: error });
  }
}

// ---- What is looked at.

/** `watchbell up`, which takes sessions of the pages of these ports. */
async function up(dir, ports, running) {
  const origins = ports.map((port) => `http://127.0.0.1:${port}`).join();
  const server = start(BIN, ["up", "--listen", "127.0.0.1:0", "--data", dir], { cwd: dir, env: { WATCHBELL__SOCKET__ALLOWED_ORIGINS: origins } }, running);
  return until("watchbell is up", async () => {
    if (server.child.exitCode !== null) throw new Error(server.log());
    const demo = JSON.parse(await readFile(join(dir, "demo.json"), "utf8"));
    return (await fetch(`${demo.url}/readyz`)).ok && demo;
  });
}

async function look(name, port, demo, browser, running) {
  const { token } = demo.users[0];
  const env = {
    PORT: String(port), HOST: "127.0.0.1", NITRO_HOST: "127.0.0.1", NITRO_PORT: String(port), ORIGIN: `http://127.0.0.1:${port}`,
    WATCHBELL_URL: demo.url, WATCHBELL_TOKEN: token, NUXT_PUBLIC_WATCHBELL_URL: demo.url, NUXT_WATCHBELL_TOKEN: token,
  };
  const server = start("npm", ["start"], { cwd: join(WORK, name), env }, running);
  const address = `http://127.0.0.1:${port}/`;
  const drawn = await until(`${name} serves its page`, async () => {
    if (server.child.exitCode !== null) throw new Error(server.log());
    const answer = await fetch(address);
    return answer.ok && answer.text();
  });
  for (const part of ["<h1>", "<watchbell-inbox"]) if (!drawn.includes(part)) throw new Error(`${name}: the server draws no ${part}\n${drawn}`);

  const page = await browser.newPage({ viewport: { width: 900, height: 600 } });
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !message.location().url.endsWith("/favicon.ico") && errors.push(message.text()));
  await page.goto(address);
  const bell = page.locator("watchbell-inbox").getByRole("button").first();
  await bell.waitFor({ timeout: WAIT_MS });
  const status = (wanted) => until(`${name}: the session is ${wanted}`, () => page.evaluate((wanted) => document.querySelector("watchbell-inbox").client?.snapshot.status === wanted, wanted));
  await status("live");
  const title = `For ${name}, ${port}`;
  const headers = { authorization: `Bearer ${demo.producer_key}`, "content-type": "application/json" };
  const answer = await fetch(`${demo.url}/v1/alerts`, { method: "POST", headers, body: JSON.stringify({ to: { users: [demo.users[0].user] }, title }) });
  if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
  const item = page.locator("#list > li", { hasText: title });
  await item.waitFor({ timeout: WAIT_MS });
  await bell.click();
  await page.locator("watchbell-inbox").getByText(title).first().waitFor({ timeout: WAIT_MS });
  await page.screenshot({ path: join(WORK, `${name}.png`) });
  await page.keyboard.press("Escape");
  await item.getByRole("button").click();
  await item.waitFor({ state: "detached", timeout: WAIT_MS });
  if (errors.length) throw new Error(`${name}: errors in the page\n${errors.join("\n")}`);
  await page.close();
  await server.stop();
}

// ---- Processes.

function start(command, args, { cwd, env }, running) {
  // A group of its own: `npm start` has children.
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => { log = (log + text).slice(-20_000); });
  const gone = new Promise((resolve) => { child.once("exit", resolve); });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    process.kill(-child.pid, "SIGTERM");
    await gone;
  };
  const one = { child, stop, log: () => log };
  running.push(one);
  return one;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function until(what, ask) {
  const deadline = Date.now() + WAIT_MS;
  let last;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${WAIT_MS} ms: ${what}; last: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
