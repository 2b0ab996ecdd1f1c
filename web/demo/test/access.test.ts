/** How the page comes by the demo: by the key of the printed address, by what its tab kept, or not at all. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openDemo, takeKey } from "../src/access.ts";
import { PRODUCER_KEY, request } from "../src/people.ts";

const DEMO = { url: "", page: "", simulator: "", producer_key: "wbk_producer", users: [] };
/** What was asked, and with which key. */
let asked: string[];
let kept: Map<string, string>;
let answer: (path: string, options: RequestInit) => Response;

beforeEach(() => {
  asked = [];
  kept = new Map();
  answer = () => Response.json(DEMO);
  vi.stubGlobal("sessionStorage", { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, text: string) => kept.set(name, text), removeItem: (name: string) => kept.delete(name) });
  vi.stubGlobal("fetch", async (path: string, options: RequestInit) => {
    asked.push([options.method ?? "GET", path, (options.headers as Record<string, string>)["authorization"] ?? "-"].join(" "));
    return answer(path, options);
  });
});
afterEach(() => { vi.unstubAllGlobals(); });

const refused = (status: number) => Response.json({ detail: "no" }, { status });

describe("opening the demo", () => {
  it("sends the key once and keeps what it is given for", async () => {
    expect(await openDemo("wbk_once")).toEqual(DEMO);
    await request("/simulator/arrivals");
    expect(asked).toEqual(["POST /demo/open -", "GET /simulator/arrivals Bearer wbk_producer"]);
  });

  it("goes on after a reload without a key", async () => {
    kept.set(PRODUCER_KEY, "wbk_producer");
    expect(await openDemo(null)).toEqual(DEMO);
    expect(asked).toEqual(["GET /demo.json Bearer wbk_producer"]);
  });

  it("goes on in its tab when the key was used already", async () => {
    kept.set(PRODUCER_KEY, "wbk_producer");
    answer = (path) => (path === "/demo/open" ? refused(403) : Response.json(DEMO));
    expect(await openDemo("wbk_used")).toEqual(DEMO);
  });

  it("has nothing to show without a key, and asks nobody", async () => {
    expect(await openDemo(null)).toBeNull();
    expect(asked).toEqual([]);
  });

  it("forgets a producer key of another folder", async () => {
    kept.set(PRODUCER_KEY, "wbk_other");
    answer = () => refused(401);
    expect(await openDemo(null)).toBeNull();
    expect(kept.size).toBe(0);
  });

  it("fails, and does not give up, when nobody answers", async () => {
    kept.set(PRODUCER_KEY, "wbk_producer");
    answer = () => { throw new TypeError("no network"); };
    await expect(openDemo(null)).rejects.toThrow("no network");
    expect(kept.get(PRODUCER_KEY)).toBe("wbk_producer");
  });
});

describe("the key of the address", () => {
  it("is taken out of it", () => {
    const shown: string[] = [];
    vi.stubGlobal("history", { replaceState: (_: unknown, __: string, to: string) => shown.push(to) });
    vi.stubGlobal("location", { hash: "#key=wbk_a-b_c", pathname: "/", search: "?user=ben" });
    expect(takeKey()).toBe("wbk_a-b_c");
    expect(shown).toEqual(["/?user=ben"]);
    vi.stubGlobal("location", { hash: "", pathname: "/", search: "" });
    expect(takeKey()).toBeNull();
    expect(shown).toHaveLength(1);
  });
});
