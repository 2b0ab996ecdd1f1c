/** Answers over HTTP, whatever they are; and what is held against an example. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { HttpError, request, within } from "../src/api.ts";
import { PAGE, isFrame, isLike } from "../src/shapes.ts";

afterEach(() => { vi.unstubAllGlobals(); });

const HTML = "<!doctype html><title>Welcome to our network</title>";
const page = { seq: 1, cursor: "e.1", unread: 0, alerts: [], next_before: null };

async function ask(text: string, status = 200, example?: object): Promise<unknown> {
  vi.stubGlobal("fetch", async () => new Response(status === 204 ? null : text, { status }));
  return request("http://server/v1/inbox", "t", "GET", undefined, example).catch((error: unknown) => error);
}

describe("an answer", () => {
  it.each([
    ["of the server", JSON.stringify(page), 200, PAGE, page],
    ["without a body", "", 204, undefined, {}],
    ["with more than is asked for", '{"alerts":["a"],"seq":2}', 200, { alerts: [""] }, { alerts: ["a"], seq: 2 }],
  ] as const)("%s is taken", async (_, text, status, example, expected) => {
    expect(await ask(text, status, example)).toEqual(expected);
  });

  it.each([
    ["a sign-in page", HTML, 200], ["a proxy's own refusal", HTML, 403], ["a proxy's own 422", HTML, 422], ["half of one", '{"seq":1,"cur', 200],
    ["of another product", '{"login":"https://sso.example.com"}', 200], ["null", "null", 200], ["a number", "7", 200],
    ["a page with a row that is none", JSON.stringify({ ...page, alerts: [{ seq: 1 }] }), 200],
    ["a page whose number is none", JSON.stringify({ ...page, seq: "1" }), 200],
  ])("that is not the server's is told apart: %s", async (_, text, status) => {
    const error = await ask(text, status, PAGE);
    expect(error).toBeInstanceOf(HttpError);
    expect((error as HttpError).status).toBe(0);
  });

  it.each([
    ['{"title":"Invalid","detail":"until: must be in the future"}', 422, "until: must be in the future"],
    ['{"title":"Not found"}', 404, "Not found"],
    ["{}", 503, "HTTP 503"],
  ])("that refuses says so in the server's words: %s", async (text, status, words) => {
    expect(await ask(text, status, PAGE)).toMatchObject({ status, message: words });
  });

  it("that never comes is a rejection", async () => {
    vi.useFakeTimers();
    const waited = within(10_000, new Promise(() => undefined)).catch((error: Error) => error.message);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await waited).toBe("nothing came in time");
    vi.useRealTimers();
  });
});

describe("what is held against an example", () => {
  it.each([
    [1, 2, true], [1, "2", false], [1, Infinity, false], [1, 1.5, false], ["", "a", true], ["", null, false],
    [{}, { a: 1 }, true], [{}, null, false], [{ a: 0 }, {}, false], [{ a: { b: "" } }, { a: { b: "c" } }, true], [{ a: { b: "" } }, { a: null }, false],
    [[""], ["a", "b"], true], [[""], [], true], [[""], ["a", 1], false], [[""], "ab", false], [[{ a: 0 }], [{ a: 1 }, {}], false],
    [{ alerts: [] }, { alerts: [{ seq: 1 }, "x"] }, true],
    [{ alerts: [] }, { alerts: {} }, false],
  ])("%j: %j, %s", (example, value, expected) => expect(isLike(value, example)).toBe(expected));

  it.each([[{ type: "hologram" }, true], [{ type: "constructor" }, false], [{ type: 7 }, false], [[], false], [null, false], [{ type: "ping", seq: 7 }, true], [{ type: "ping" }, false]])(
    "as a frame: %j, %s", (frame, expected) => expect(isFrame(frame)).toBe(expected));
});
