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
  values: { hex: "a1".repeat(32), start: `"${"b2".repeat(32)}"`, own: "c3".repeat(32), environment: "sandbox", at: future(), "UUID().uuidString": "0E984725-C51C-4BF4-9960-E1C80E27ABA0" },
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

/** Whether it is sent with the token of a push, in place of the person's. */
function isOfPush({ body }: { body: string | undefined }): boolean {
  return body?.includes("priority_lowered") === true;
}

let up: Up;
/** As `up` has it by itself, and one by which somebody has to take an alert on. */
const POLICIES = `
  [policies.team]
  group = "first_acknowledges"
  steps = [{ channel = "push", after = "0s" }]
`;
beforeAll(async () => { up = await Up.configured(() => POLICIES); });
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
  const arrived = requests(language).some(isOfPush) ? ["delivered"] : [];
  const said = [...new Set([...arrived, ...[...code(language.kind).matchAll(/\bsay\("(\w+)"/g)].map(([, state]) => state ?? "")])];
  // A row moves forward only.
  const states = ["delivered", "seen", "read", "dismissed"].filter((state) => state === "seen" || said.includes(state));

  it("are all there, and the states that the app says are those of the page", () => {
    const [activities, arrived] = language.kind === "swift" ? [["PUT /v1/devices/{}/activities/{}", "DELETE /v1/devices/{}/activities/{}"], []] : [[], ["POST /v1/inbox/receipts"]];
    expect(requests(language).map(({ method, path }) => `${method} ${path.replace(language.value, "{}").replace(/\?.*/, "")}`)).toEqual([
      "PUT /v1/devices/{}", ...activities, "DELETE /v1/devices/{}", "POST /v1/inbox/receipts", "POST /v1/inbox/receipts", "POST /v1/inbox/receipts", ...arrived, "GET /v1/inbox",
    ]);
    expect(said.filter((state) => !PAGE.includes(`receipt \`${state}\``))).toEqual([]);
    // What is said of an alert that somebody has to take on has a test of its own.
    expect(said.filter((state) => state !== "acknowledged" && !states.includes(state))).toEqual([]);
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
    for (const { method, path, body } of requests(language).filter((one) => !isOfPush(one))) {
      const written = /"state":"(snoozed|answered)"/.exec(body ?? "")?.[1];
      for (const state of written || method !== "POST" ? [""] : states) {
        const values = { ...common, state };
        const sent = body === undefined ? undefined : filled(language, body, values);
        const { status, text } = await send(method, filled(language, path, values), headers, sent);
        // Apple may have said meanwhile that there is no activity of that token.
        const done = method === "DELETE" && path.includes("/activities/") ? [204, 404] : [method === "PUT" || method === "DELETE" ? 204 : 200];
        expect(done, `${method} ${path} ${sent}: ${text}`).toContain(status);
        if (!path.includes("/activities/")) await after[method]?.(text);
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
    // What the app says with the push's own token is taken, and nothing else is.
    const { watchbell, data } = payload as { watchbell?: { receipt: string }; data?: { receipt: string } };
    const withPush: [string, string][] = [["Authorization", `Bearer ${(watchbell ?? data)?.receipt}`]];
    const say = (state: string) => send("POST", "/v1/inbox/receipts", withPush, JSON.stringify({ alerts: [alert], state }));
    const arrivedOnAndroid = requests(KOTLIN).find(isOfPush)?.body ?? "";
    const sayArrived = () => kind === "apns" ? say("delivered")
      : send("POST", "/v1/inbox/receipts", withPush, filled(KOTLIN, arrivedOnAndroid, { alert, lowered: "true" }));
    expect([(await sayArrived()).status, (await say("seen")).status]).toEqual([200, 403]);
    expect(await up.explained(alert, user)).toContain(kind === "apns" ? "reached the device" : "reached the device; Google had lowered its priority");
    expect((await send("GET", "/v1/inbox", withPush, undefined)).status).toBe(401);
    for (const word of kind === "apns" ? ['"time-sensitive"', '"mutable-content":1'] : ['"HIGH"', `"tag":"${alert}"`]) expect(JSON.stringify(payload)).toContain(word);
    await send("POST", "/v1/inbox/receipts", [["Authorization", `Bearer ${up.token(user)}`]], JSON.stringify({ alerts: [alert], state: "seen" }));
    expect(shape(await told(true))).toEqual(shape(shown(`${kind}-withdrawal`)));
  });
});

describe("an alert that somebody has to take on", () => {
  const button = { id: "~acknowledge", title: "Acknowledge", acknowledges: true };
  const runbook = { id: "runbook", title: "Runbook", url: "https://example.org/r" };

  it("has a button for it on every push, and the phone that is pressed has it", async () => {
    const alert = await up.send({ users: ["ana", "ben"], title: "Who takes it?", severity: "critical", policy: "team", actions: [runbook] });
    // Ana's phone is Apple's, and ben's Google's.
    const pushed = (kind: string) => until(`a push by ${kind}`, async () => (await up.arrivals(alert)).find((one) => one.kind === kind)?.payload) as Promise<Record<string, unknown>>;
    const apple = await pushed("apns") as { aps?: { category: string }; watchbell?: { actions: unknown } };
    expect([apple.aps?.category, apple.watchbell?.actions]).toEqual(["watchbell:~acknowledge,runbook", [button, runbook]]);
    const google = (await pushed("fcm"))["message"] as { data: { actions: string } };
    expect(JSON.parse(google.data.actions)).toEqual([button, runbook]);

    // As the app's `say` sends it.
    const say = requests(SWIFT).find(({ body }) => body?.includes("\\#(state)"));
    const headers: [string, string][] = [["Authorization", `Bearer ${up.token("ana")}`], ["Content-Type", "application/json"]];
    const body = filled(SWIFT, say?.body ?? "", { ...SWIFT.values, alert, state: "acknowledged" });
    expect((await send("POST", "/v1/inbox/receipts", headers, body)).status).toBe(200);
    await until("ben sees who has it", async () => {
      const row = (await up.inbox("ben")).alerts.find((one) => one.alert.id === alert) as { alert: { acknowledgement?: { by?: string } } } | undefined;
      return row?.alert.acknowledgement?.by === "ana";
    });
  });
});
