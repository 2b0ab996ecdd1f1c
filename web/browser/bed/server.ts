/** `watchbell up` on a free port and in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

const BIN = process.env["WATCHBELL_BIN"] ?? join(import.meta.dirname, "../../../target/debug/watchbell");

export interface Demo { url: string; producer_key: string; users: { user: string; token: string }[] }

export class Server {
  readonly #dir = mkdtempSync(join(tmpdir(), "watchbell-browser-"));
  #child: ChildProcess | null = null;
  #log = "";
  demo!: Demo;

  static async start(): Promise<Server> {
    const server = new Server();
    await server.start("127.0.0.1:0");
    return server;
  }

  get address(): string {
    return this.demo.url.replace("http://", "");
  }

  /** Starts it again on the same address, with what it kept. */
  async start(listen = this.address): Promise<void> {
    const child = spawn(BIN, ["up", "--listen", listen, "--data", this.#dir], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => { this.#log = (this.#log + text).slice(-20_000); });
    this.demo = await until("the server is up", async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${this.#log}`);
      const demo = JSON.parse(readFileSync(join(this.#dir, "demo.json"), "utf8")) as Demo;
      return (await fetch(`${demo.url}/readyz`)).ok ? demo : null;
    });
  }

  /** Ends it: SIGKILL is a crash, SIGTERM a departure. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async close(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.#dir, { recursive: true, force: true });
  }

  token(user: string): string {
    return this.demo.users.find((one) => one.user === user)?.token ?? "";
  }

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
    const response = await fetch(`${this.demo.url}/v1/inbox?limit=200`, { headers: { authorization: `Bearer ${this.token(user)}` } });
    return response.json();
  }

  async #post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${this.demo.producer_key}`, "content-type": "application/json" };
    const response = await fetch(this.demo.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (response.status !== 202) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
