/** Sessions over HTTP, against scripted answers. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { dialHttp } from "../src/http-wire.ts";
import type { Dial } from "../src/wire.ts";

afterEach(() => { vi.unstubAllGlobals(); });

const dial: Dial = { transport: "sse", url: "http://server", token: "t", cursor: "e.1", topics: ["a", "b"], visibility: "visible" };

/** Answers each request with the next of `answers`, and resolves when the session has ended. */
function session(transport: "sse" | "poll", answers: Response[]): Promise<{ asked: string[]; heard: unknown[] }> {
  const asked: string[] = [];
  const heard: unknown[] = [];
  vi.stubGlobal("fetch", async (address: string, { headers }: { headers: Record<string, string> }) => {
    asked.push(`${address} ${headers["authorization"]}`);
    return answers.shift() ?? new Response(null, { status: 404 });
  });
  return new Promise((resolve) => {
    dialHttp({ ...dial, transport }, {
      frames: (frames) => heard.push(...(frames.length ? frames : ["a sign of life"])),
      open: () => heard.push("open"),
      ended: (code, _reason, waitMs) => { heard.push({ code, waitMs }); resolve({ asked, heard }); },
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
  }));
}

describe("server-sent events", () => {
  it("are read however the network cuts them, and comments are a sign of life", async () => {
    const text = 'event: alert\nid: e.2\ndata: {"type":"alert","seq":2}\n\n: still here\n\nevent: ping\r\ndata: {"type":"ping","seq":2}\r\n\r\n';
    const { asked, heard } = await session("sse", [stream(...text.match(/.{1,7}/gs) ?? [])]);
    expect(asked).toEqual(["http://server/v1/sse?cursor=e.1&topics=a%2Cb Bearer t"]);
    expect(heard.filter((one) => one !== "a sign of life")).toEqual([{ type: "alert", seq: 2 }, { type: "ping", seq: 2 }, { code: 1006, waitMs: undefined }]);
    expect(heard).toContain("a sign of life");
  });

  it("end with the code of their close frame", async () => {
    const { heard } = await session("sse", [stream('event: close\ndata: {"type":"close","code":4300,"reason":"token expired"}\n\n')]);
    expect(heard.at(-1)).toEqual({ code: 4300, waitMs: undefined });
  });

  it.each([[401, 4300], [403, 4003], [404, 1006], [429, 4101], [502, 1006], [503, 4100]])("HTTP %i means %i", async (status, code) => {
    const { heard } = await session("sse", [new Response(null, { status, headers: { "retry-after": "5" } })]);
    expect(heard).toEqual([{ code, waitMs: 5_000 }]);
  });
});

describe("polls", () => {
  it("go on from the cursor of what came, the first without waiting", async () => {
    const answer = (frames: object[]) => new Response(JSON.stringify(frames));
    const { asked, heard } = await session("poll", [answer([{ type: "alert", seq: 2, cursor: "e.2" }]), answer([{ type: "ping", seq: 2, cursor: "e.2" }]), new Response(null, { status: 401 })]);
    expect(asked.map((one) => one.split("?")[1])).toEqual([
      "cursor=e.1&topics=a%2Cb&wait=0 Bearer t", "cursor=e.2&topics=a%2Cb&wait=25 Bearer t", "cursor=e.2&topics=a%2Cb&wait=25 Bearer t",
    ]);
    expect(heard).toEqual(["open", { type: "alert", seq: 2, cursor: "e.2" }, { type: "ping", seq: 2, cursor: "e.2" }, { code: 4300, waitMs: 0 }]);
  });
});
