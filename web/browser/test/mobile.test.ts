/**
 * What docs/mobile.md says, held against `watchbell up`: each request in its Swift and Kotlin is taken from the page and sent as
 * the app would send it, and each push that it shows is compared with what the simulator of Apple and Google took in.
 */
import { readFileSync } from "node:fs";
import { request as ask } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Arrival, Up } from "../bed/server.ts";
import { until } from "../bed/until.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../../docs/mobile.md"), "utf8");

/** All fenced code of one kind, such as `swift` or `json apns-alert`. */
const code = (kind: string) => [...PAGE.matchAll(/```([^\n]*)\n([^]*?)```/g)].filter(([, info]) => info === kind).map(([, , text]) => text ?? "").join("\n");

interface Language {
  kind: string;
  /** A call of `send`, with the method, the path and the body as they are written. */
  call: RegExp;
  /** What stands for a value in a text: the expression is in one of its groups. */
  value: RegExp;
  /** The headers that `send` sets. */
  headers: (text: string) => [string, string][];
  /** What the expressions are worth, beside those that both languages have. */
  values: Record<string, string>;
}

const SWIFT: Language = {
  kind: "swift",
  call: /\bsend\("(\w+)", "([^"]*)"(?:, #"([^]*?)"#)?\)/g,
  value: /\\#?\(((?:[^()]|\([^()]*\))*)\)/g,
  headers: (text) => [...text.matchAll(/setValue\("([^"]*)", forHTTPHeaderField: "([^"]+)"\)/g)].map(([, value = "", name = ""]) => [name, value]),
  values: { hex: "a1".repeat(32), environment: "sandbox", at: future(), "UUID().uuidString": "0E984725-C51C-4BF4-9960-E1C80E27ABA0" },
};
const KOTLIN: Language = {
  kind: "kotlin",
  call: /\bsend\("(\w+)", "([^"]*)"(?:, """([^]*?)""")?\)/g,
  value: /\$\{([^}]*)\}|\$(\w+)/g,
  headers: (text) => [
    ...[...text.matchAll(/\.header\("([^"]+)", "([^"]*)"\)/g)].map(([, name = "", value = ""]): [string, string] => [name, value]),
    ...[...text.matchAll(/"([^"]*)"\.toMediaType\(\)/g)].map(([, type = ""]): [string, string] => ["Content-Type", type]),
  ],
  values: { registration: `fGh-1:${"APA91b_".repeat(20)}`, until: future(), "UUID.randomUUID()": "5f3c1c9e-96a2-4c56-8f0a-26ba49a6a3e5" },
};

function future(): string {
  return new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The requests of one language, each as text in which the values are still to be filled in. */
function requests({ kind, call }: Language): { method: string; path: string; body: string | undefined }[] {
  return [...code(kind).matchAll(call)].map(([, method = "", path = "", body]) => ({ method, path, body }));
}

function filled({ value }: Language, text: string, values: Record<string, string>): string {
  return text.replace(value, (whole, ...groups: unknown[]) => {
    const expression = groups.find((group) => typeof group === "string" && group !== text) as string;
    const known = values[expression.trim()];
    if (known === undefined) throw new Error(`the test knows no value for ${whole}`);
    return known;
  });
}

let up: Up;
beforeAll(async () => { up = await Up.start(); });
afterAll(() => up.close());

/** Sends exactly this: nothing is added to the headers, and the body is not made anew. */
function send(method: string, path: string, headers: [string, string][], body: string | undefined): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const [hostname = "", port] = up.address.split(":");
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const all = [...headers, ...(bytes ? [["Content-Length", String(bytes.length)]] : [])];
    const sent = ask({ hostname, port, method, path, headers: Object.fromEntries(all) }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => { text += part; }).on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end(bytes);
  });
}

describe.each([SWIFT, KOTLIN])("the requests in $kind", (language) => {
  const said = [...new Set([...code(language.kind).matchAll(/\bsay\("(\w+)"/g)].map(([, state]) => state ?? ""))];
  // A row moves forward only.
  const states = ["delivered", "seen", "read", "dismissed"].filter((state) => state === "seen" || said.includes(state));

  it("are all there, and the states that the app says are those of the page", () => {
    expect(requests(language).map(({ method, path }) => `${method} ${path.replace(language.value, "{}").replace(/\?.*/, "")}`)).toEqual([
      "PUT /v1/devices/{}", "DELETE /v1/devices/{}", "POST /v1/inbox/receipts", "POST /v1/inbox/receipts", "POST /v1/inbox/receipts", "GET /v1/inbox",
    ]);
    expect(said.filter((state) => !PAGE.includes(`receipt \`${state}\``))).toEqual([]);
    expect(said.filter((state) => !states.includes(state))).toEqual([]);
    expect(states.length).toBeGreaterThan(2);
  });

  it("are taken by a running server as they stand", async () => {
    const user = language.kind === "swift" ? "ana" : "ben";
    const alert = await up.send({ users: [user], title: "For the phone", severity: "critical", url: "https://example.org/nodes/7", actions: [{ id: "approve", title: "Approve", answer: "yes" }] });
    const common = { action: "approve", token: up.token(user), device: `test-${language.kind}`, alert, ...language.values };
    const headers = language.headers(code(language.kind)).map(([name, value]): [string, string] => [name, filled(language, value, common)]);
    expect(headers.map(([name]) => name.toLowerCase()).sort()).toEqual(["authorization", "content-type"]);
    const row = () => until("the alert is in the inbox", async () => (await up.inbox(user)).alerts.find((one) => one.alert.id === alert));
    const devices = async () => (await send("GET", "/v1/devices", headers, undefined)).text;
    await row();
    const after: Record<string, (text: string) => void | Promise<void>> = {
      PUT: async () => expect(await devices()).toContain(common.device),
      DELETE: async () => expect(await devices()).not.toContain(common.device),
      GET: (text) => {
        const { unread, alerts } = JSON.parse(text) as { unread: number; alerts: { state: string; alert: Record<string, unknown> }[] };
        expect(typeof unread).toBe("number");
        const found = alerts.find((one) => one.alert["id"] === alert);
        expect(found?.alert).toMatchObject({ title: "For the phone", severity: "critical", url: "https://example.org/nodes/7" });
      },
    };
    for (const { method, path, body } of requests(language)) {
      const written = /"state":"(snoozed|answered)"/.exec(body ?? "")?.[1];
      for (const state of written || method !== "POST" ? [""] : states) {
        const values = { ...common, state };
        const sent = body === undefined ? undefined : filled(language, body, values);
        const { status, text } = await send(method, filled(language, path, values), headers, sent);
        expect(status, `${method} ${path} ${sent}: ${text}`).toBe(method === "PUT" || method === "DELETE" ? 204 : 200);
        await after[method]?.(text);
        if (method === "POST" && state !== "delivered") expect((await row()).state).toBe(state || (written === "answered" ? "read" : "snoozed"));
      }
      if (method === "POST") await send("POST", "/v1/inbox/receipts", headers, JSON.stringify({ alerts: [alert], state: "unread" }));
    }
  });
});

describe("the pushes on the page", () => {
  /** Names and kinds of everything in it, and the words that the app depends on. */
  const shape = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.slice(0, 1).map(shape);
    if (typeof value !== "object" || value === null) return typeof value;
    // Where it goes is no part of what the app is given.
    const parts = Object.entries(value).filter(([name]) => name !== "token").sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(parts.map(([name, one]) => [name, shape(one)]));
  };
  const shown = (name: string) => JSON.parse(code(`json ${name}`)) as unknown;

  it.each([["apns", "ana"], ["fcm", "ben"]])("are what %s takes in", async (kind, user) => {
    const alert = await up.send({ users: [user], title: "Disk is full", body: "Node 7 has 2 % left", category: "disk", severity: "critical", url: "https://example.org/nodes/7" });
    const arrived = (isWithdrawal: boolean) => until("the push arrives", async () =>
      (await up.arrivals(alert)).find((one: Arrival) => one.kind === kind && one.withdrawal === isWithdrawal)?.payload as { message?: object } | undefined);
    // Google's API has it in an envelope.
    const told = async (isWithdrawal: boolean) => { const payload = await arrived(isWithdrawal); return payload.message ?? payload; };
    const payload = await told(false);
    expect(shape(payload)).toEqual(shape(shown(`${kind}-alert`)));
    for (const word of kind === "apns" ? ['"time-sensitive"', '"mutable-content":1'] : ['"HIGH"', `"tag":"${alert}"`]) expect(JSON.stringify(payload)).toContain(word);
    await send("POST", "/v1/inbox/receipts", [["Authorization", `Bearer ${up.token(user)}`]], JSON.stringify({ alerts: [alert], state: "seen" }));
    expect(shape(await told(true))).toEqual(shape(shown(`${kind}-withdrawal`)));
  });
});
