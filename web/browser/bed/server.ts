/** What the browser talks to: the real program, on either engine. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "./until.ts";

const TARGET = join(import.meta.dirname, "../../../target/debug");
const BIN = process.env["WATCHBELL_BIN"] ?? join(TARGET, "watchbell");
/** The example `browser` of watchbell-tests. */
const FLEET_BIN = process.env["WATCHBELL_FLEET_BIN"] ?? join(TARGET, "examples/browser");
const LOG_CHARS_MAX = 20_000;

interface Address { producers: string; users: string; key: string; tokens: { user: string; token: string }[] }

export interface Arrival {
  kind: string;
  to: string;
  headers: Record<string, string>;
  payload: { alert?: string; title?: string; tag?: string; withdraw?: string[] };
  withdrawal: boolean;
}

/** A server that tests can publish to, crash and restart. */
export abstract class Server {
  protected at: Address = { producers: "", users: "", key: "", tokens: [] };
  protected log = "";

  /** Where sessions connect, `host:port`. */
  get address(): string {
    return this.at.users.replace("http://", "");
  }

  /** What producers publish with; in `up`, also what the demo's secrets are opened with. */
  get key(): string {
    return this.at.key;
  }

  token(user: string): string {
    return this.at.tokens.find((one) => one.user === user)?.token ?? "";
  }

  /** Ends whatever holds sessions: SIGKILL is a crash, SIGTERM a departure. */
  abstract end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts it again at the same address, with what it kept. */
  abstract again(): Promise<void>;
  abstract close(): Promise<void>;

  /** Publishes; answers the id when it was accepted. */
  async send(alert: { users?: string[]; title: string; [more: string]: unknown }): Promise<string> {
    const { users = ["ana"], ...rest } = alert;
    const { id } = await this.#post("/v1/alerts", { to: { users }, ...rest });
    return String(id);
  }

  async event(topic: string, data: unknown, keep = 5): Promise<void> {
    await this.#post(`/v1/topics/${topic}/events`, { type: "status_change", data, keep });
  }

  async inbox(user = "ana"): Promise<{ unread: number; seq: number; alerts: { state: string; alert: { id: string } }[] }> {
    const response = await fetch(`${this.at.users}/v1/inbox?limit=200`, { headers: { authorization: `Bearer ${this.token(user)}` } });
    return response.json();
  }

  /** What the simulator took in of one alert, as it decrypted it; withdrawals as well. Only where `up` brings one. */
  async arrivals(alert: string): Promise<Arrival[]> {
    const headers = { authorization: `Bearer ${this.key}` };
    return (await fetch(`${this.at.users}/simulator/arrivals?all=1&alert=${alert}`, { headers })).json();
  }

  /** What `explain` says of one alert and person, as text. */
  async explained(alert: string, user: string): Promise<string> {
    const headers = { authorization: `Bearer ${this.key}` };
    return (await fetch(`${this.at.producers}/v1/alerts/${alert}/timeline?user=${user}`, { headers })).text();
  }

  async #post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${this.at.key}`, "content-type": "application/json" };
    const response = await fetch(this.at.producers + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (response.status !== 202) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  protected watch(child: ChildProcess): void {
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => { this.log = (this.log + text).slice(-LOG_CHARS_MAX); });
  }
}

/** An address that nobody listens at for now. */
async function freeAddress(): Promise<string> {
  const taken = createServer();
  await new Promise<void>((done) => taken.listen(0, "127.0.0.1", done));
  const { port } = taken.address() as AddressInfo;
  await new Promise((done) => taken.close(done));
  return `127.0.0.1:${port}`;
}

/** `watchbell up` on a free port and in a folder of its own. */
export class Up extends Server {
  readonly #dir = mkdtempSync(join(tmpdir(), "watchbell-browser-"));
  #child: ChildProcess | null = null;

  #config: string[] = [];

  /** With a configuration, which may name the address that it will have. */
  static async configured(toml: (address: string) => string): Promise<Up> {
    const server = new Up();
    const address = await freeAddress();
    const file = join(server.#dir, "watchbell.toml");
    writeFileSync(file, toml(address));
    server.#config = ["--config", file];
    await server.#start(address);
    return server;
  }

  /** With these dead letters, as an earlier run set them aside: a line each. */
  static async start(dead: string[] = []): Promise<Up> {
    const server = new Up();
    if (dead.length > 0) writeFileSync(join(server.#dir, "dead.ndjson"), dead.map((line) => `${line}\n`).join(""));
    await server.#start("127.0.0.1:0");
    return server;
  }

  again(): Promise<void> {
    return this.#start(this.address);
  }

  /** The address that it printed last: the key in it opens one tab. */
  printedAddress(): string {
    return JSON.parse(readFileSync(join(this.#dir, "demo.json"), "utf8")).page;
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.#child) await ended(this.#child, signal);
  }

  async close(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #start(listen: string): Promise<void> {
    const child = spawn(BIN, [...this.#config, "up", "--listen", listen, "--data", this.#dir], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.watch(child);
    this.at = await until("the server is up", async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${this.log}`);
      const { url, producer_key, users } = JSON.parse(readFileSync(join(this.#dir, "demo.json"), "utf8"));
      return (await fetch(`${url}/readyz`)).ok ? { producers: url, users: url, key: producer_key, tokens: users } : null;
    });
  }
}

/** RabbitMQ, PostgreSQL, a process a worker, two socket pods; started by the Rust harness. */
export class Fleet extends Server {
  readonly #child = spawn(FLEET_BIN, ["ana", "ben"], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, WATCHBELL_BIN: BIN } });
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  /** `host:port` of each pod. */
  pods: string[] = [];

  static async start(): Promise<Fleet> {
    const fleet = new Fleet();
    fleet.#child.stderr.on("data", (text) => { fleet.log = (fleet.log + text).slice(-LOG_CHARS_MAX); });
    const { ingest, pods, key, users } = JSON.parse(await fleet.#line());
    fleet.at = { producers: ingest, users: pods[0], key, tokens: users };
    fleet.pods = pods.map((pod: string) => pod.replace("http://", ""));
    return fleet;
  }

  async tell(command: string): Promise<void> {
    this.#child.stdin.write(`${command}\n`);
    await this.#line();
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await this.tell(`${signal === "SIGKILL" ? "kill" : "restart"} socket-1`);
    this.#isDown = signal === "SIGKILL";
  }

  async again(): Promise<void> {
    if (this.#isDown) await this.tell("revive socket-1");
    this.#isDown = false;
  }
  #isDown = false;

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin.end();
    await gone;
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the fleet ended: ${this.log}`);
    return value;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}
