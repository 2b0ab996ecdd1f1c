/** Sessions over HTTP, against scripted answers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { dialHttp } from "../src/http-wire.ts";
import type { Dial } from "../src/wire.ts";

beforeEach(() => { vi.stubGlobal("location", { origin: "http://server" }); });
afterEach(() => { vi.unstubAllGlobals(); });

const dial: Dial = { transport: "sse", url: "http://server", token: "t", cursor: "e.1", topics: ["a", "b"], visibility: "visible" };

/** Answers each request with the next of `answers`, and resolves when the session has ended. */
function session(transport: "sse" | "poll", answers: (Response | Error)[], more: Partial<Dial> = {}): Promise<{ asked: string[]; heard: unknown[] }> {
  const asked: string[] = [];
  const heard: unknown[] = [];
  vi.stubGlobal("fetch", async (address: string, { headers }: { headers?: Record<string, string> }) => {
    asked.push(`${address} ${headers?.["authorization"]}`);
    const answer = answers.shift() ?? new Response(null, { status: 404 });
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return new Promise((resolve) => {
    dialHttp({ ...dial, transport, ...more }, (event) => {
      if (event.kind === "frames") heard.push(...(event.frames.length ? event.frames : ["a sign of life"]));
      else heard.push(event);
      if (event.kind === "ended") resolve({ asked, heard });
    });
  });
}

function stream(...chunks: string[]): Response {
  const bytes = new TextEncoder();
  return new Response(new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(bytes.encode(chunk));
      controller.close();
    },
  }), { headers: { "content-type": "text/event-stream" } });
}

const HTML = "<!doctype html><title>Welcome to our network</title>";
const page = (status: number, type = "text/html") => new Response(HTML, { status, headers: { "content-type": type } });

describe("server-sent events", () => {
  it("are read however the network cuts them, and comments are a sign of life", async () => {
    const text = 'event: alert\nid: e.2\ndata: {"type":"alert","seq":2}\n\n: still here\n\nevent: ping\r\ndata: {"type":"ping","seq":2}\r\n\r\n';
    const { asked, heard } = await session("sse", [stream(...text.match(/.{1,7}/gs) ?? [])]);
    expect(asked).toEqual(["http://server/v1/sse?cursor=e.1&topics=a%2Cb Bearer t"]);
    expect(heard.filter((one) => one !== "a sign of life")).toEqual([{ type: "alert", seq: 2 }, { type: "ping", seq: 2 }, { kind: "ended", code: 1006, trouble: "unreachable" }]);
    expect(heard).toContain("a sign of life");
  });

  it("end with the code of their close frame", async () => {
    const { heard } = await session("sse", [stream('event: close\ndata: {"type":"close","code":4300,"reason":"token expired"}\n\n')]);
    expect(heard.at(-1)).toEqual({ kind: "ended", code: 4300, reason: "token expired" });
  });

  it.each([[401, 4300], [403, 4003], [404, 1006], [429, 4101], [502, 1006], [503, 4100]])("HTTP %i means %i", async (status, code) => {
    const { heard } = await session("sse", [new Response("{}", { status, headers: { "retry-after": "5", "content-type": "application/problem+json" } })]);
    expect(heard).toMatchObject([{ code, waitMs: 5_000 }]);
  });

  it.each([200, 401, 403, 404, 502])("HTTP %i of something else than our server ends nothing for good", async (status) => {
    const { heard } = await session("sse", [page(status)]);
    expect(heard).toMatchObject([{ code: 1006, trouble: "blocked" }]);
  });

  it.each([["86400", 600_000], ["-5", 0], ["Wed, 21 Oct 2026 07:28:00 GMT", 0], ["7", 7_000]])("come again after %s as %i ms", async (header, waitMs) => {
    const { heard } = await session("sse", [new Response("{}", { status: 503, headers: { "retry-after": header } })]);
    expect(heard).toMatchObject([{ code: 4100, waitMs }]);
  });

  it("are over where one of them has no end", async () => {
    const { heard } = await session("sse", [stream("data: {\n\n", "x".repeat(9 * 1024 * 1024), "x".repeat(9 * 1024 * 1024), "\n\n")]);
    expect(heard.at(-1)).toMatchObject({ code: 1006, trouble: "blocked" });
  });

  it("pass on what is no JSON for what it is, and go on", async () => {
    const { heard } = await session("sse", [stream("data: {half\n\ndata: {\"type\":\"ping\",\"seq\":2}\n\n")]);
    expect(heard.filter((one) => one !== "a sign of life")).toEqual([undefined, { type: "ping", seq: 2 }, { kind: "ended", code: 1006, trouble: "unreachable" }]);
  });

  it.each([
    ["the page's own origin, which is always allowed", "http://server", new Error("refused"), "unreachable"],
    ["another origin that does not answer anybody", "http://elsewhere", new Error("refused"), "unreachable"],
    ["another origin that answers those who do not read it", "http://elsewhere", new Response(null), "origin"],
  ] as const)("say why nothing answers: %s", async (_, url, second, trouble) => {
    const { heard } = await session("sse", [new TypeError("Failed to fetch"), second], { url });
    expect(heard).toMatchObject([{ code: 1006, trouble }]);
  });
});

describe("polls", () => {
  it("go on from the cursor of what came, the first without waiting", async () => {
    const answer = (frames: object[]) => new Response(JSON.stringify(frames));
    const { asked, heard } = await session("poll", [answer([{ type: "alert", seq: 2, cursor: "e.2" }]), answer([{ type: "ping", seq: 2, cursor: "e.2" }]), new Response(null, { status: 401 })]);
    expect(asked.map((one) => one.split("?")[1])).toEqual([
      "cursor=e.1&topics=a%2Cb&wait=0 Bearer t", "cursor=e.2&topics=a%2Cb&wait=25 Bearer t", "cursor=e.2&topics=a%2Cb&wait=25 Bearer t",
    ]);
    expect(heard).toEqual([{ kind: "open" }, { type: "alert", seq: 2, cursor: "e.2" }, { type: "ping", seq: 2, cursor: "e.2" }, { kind: "ended", code: 1006, waitMs: 0, trouble: "blocked" }]);
  });

  it("that are answered at once with nothing are no busy loop", async () => {
    const begun = performance.now();
    const { asked } = await session("poll", [new Response("[]"), new Response("[]"), new Response("[]"), page(200)]);
    expect(asked.length).toBe(4);
    expect(performance.now() - begun).toBeGreaterThan(500);
  });

  it.each([HTML, "", "[{", '{"login":"please"}'])("are over where what answers is not our server: %j", async (text) => {
    const { heard } = await session("poll", [new Response(text)]);
    expect(heard).toMatchObject([{ code: 1006, trouble: "blocked" }]);
  });
});
