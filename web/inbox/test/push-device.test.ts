/** This browser as a device: when it registers, and with which key. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HttpError, type Watchbell } from "@watchbell/client";
import { disablePush, enablePush, renewPush } from "../src/push-device.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const KEYS = { one: btoa("key one"), two: btoa("key two") };

/** The subscription that the browser has; null: none. */
let standing: { key: string; nth: number } | null;
let made: number;
let stored: Map<string, string>;
let permission: NotificationPermission;

beforeEach(() => {
  [standing, made, permission, stored] = [null, 0, "granted", new Map()];
  vi.stubGlobal("localStorage", { getItem: (name: string) => stored.get(name) ?? null, setItem: (name: string, text: string) => stored.set(name, text) });
  const shown = () => standing && {
    options: { applicationServerKey: Uint8Array.from(atob(standing.key), (one) => one.charCodeAt(0)).buffer },
    unsubscribe: async () => { standing = null; },
    toJSON: () => ({ endpoint: `https://push.example/${standing?.nth}`, keys: {} }),
  };
  const pushManager = {
    getSubscription: async () => shown(),
    subscribe: async ({ applicationServerKey: key }: { applicationServerKey: string }) => {
      if (standing && standing.key !== key) throw new DOMException("another key", "InvalidStateError");
      standing ??= { key, nth: ++made };
      return shown();
    },
  };
  const registration = { pushManager };
  vi.stubGlobal("navigator", { serviceWorker: { register: async () => registration, ready: Promise.resolve(registration) } });
  vi.stubGlobal("window", { PushManager: class {} });
  vi.stubGlobal("Notification", { get permission() { return permission; }, requestPermission: async () => permission });
});
afterEach(() => vi.unstubAllGlobals());

/** A server that gives out a key and takes registrations, of this version or of the one before. */
function server({ knowsKeys = true } = {}) {
  const told: string[] = [];
  const answers = { key: KEYS.one, user: "ana" };
  const request = async (method: string, _path: string, body?: { endpoint: string; vapid_key?: string }) => {
    if (method === "GET") return { key: answers.key };
    if (method === "DELETE") return undefined;
    if (body?.vapid_key && !knowsKeys) throw new HttpError(400, "unknown field");
    told.push(`${body?.endpoint.replace("https://push.example/", "")} ${body?.vapid_key ?? "-"}`);
    return undefined;
  };
  const client = { request, get snapshot() { return { user: answers.user }; } } as unknown as Watchbell;
  return { client, told, answers };
}
const NOW = Date.parse("2026-11-30T12:00:00Z");
const renewed = (client: Watchbell, now: number) => renewPush(client, "/push-worker.js", undefined, now);

describe("a browser that is a device", () => {
  it("says so once a day, and not more often", async () => {
    const { client, told } = server();
    for (const after of [0, 1, DAY_MS - 1, DAY_MS, DAY_MS + 1, 61 * DAY_MS]) await renewed(client, NOW + after);
    expect(told).toEqual(Array(3).fill(`1 ${KEYS.one}`));
  });

  it("subscribes anew when the server gives out another key, and says so at once", async () => {
    const { client, told, answers } = server();
    await enablePush(client, "/push-worker.js");
    answers.key = KEYS.two;
    await renewed(client, Date.now());
    await renewed(client, Date.now());
    expect(told).toEqual([`1 ${KEYS.one}`, `2 ${KEYS.two}`]);
  });

  it("says so at once when its subscription is another, or somebody else is here", async () => {
    const { client, told, answers } = server();
    await renewed(client, NOW);
    standing = null;
    await renewed(client, NOW + 1);
    answers.user = "ben";
    await renewed(client, NOW + 2);
    expect(told).toEqual([`1 ${KEYS.one}`, `2 ${KEYS.one}`, `2 ${KEYS.one}`]);
  });

  it("does not believe a clock that was set back", async () => {
    const { client, told } = server();
    await renewed(client, NOW);
    await renewed(client, NOW - DAY_MS);
    expect(told.length).toBe(2);
  });

  it("asks nobody for a permission that was taken back, and registers nothing", async () => {
    const { client, told } = server();
    permission = "denied";
    await renewed(client, NOW);
    expect(told).toEqual([]);
  });

  it("is registered anew after it was turned off", async () => {
    const { client, told } = server();
    await enablePush(client, "/push-worker.js");
    await disablePush(client);
    await renewed(client, Date.now());
    expect(told.length).toBe(2);
  });

  it("registers without the key at a server of the version before", async () => {
    const { client, told } = server({ knowsKeys: false });
    await enablePush(client, "/push-worker.js");
    expect(told).toEqual(["1 -"]);
  });
});

describe("a browser that does not answer", () => {
  it.each([
    ["whose worker does not start", () => vi.stubGlobal("navigator", { serviceWorker: { register: async () => ({}), ready: new Promise(() => undefined) } }), "its scope"],
    ["that does not install the worker", () => vi.stubGlobal("navigator", { serviceWorker: { register: () => new Promise(() => undefined), ready: new Promise(() => undefined) } }), "its scope"],
  ])("%s is an error that says so", async (_, breaks, words) => {
    vi.useFakeTimers();
    try {
      breaks();
      const { client, told } = server();
      const refused = expect(enablePush(client, "/push-worker.js")).rejects.toThrow(words);
      await vi.advanceTimersByTimeAsync(60_000);
      await refused;
      expect(told).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("to a subscription is an error", async () => {
    vi.useFakeTimers();
    try {
      const { client } = server();
      const refused = expect(enablePush(client, "/push-worker.js", () => new Promise(() => undefined))).rejects.toThrow("push service");
      await vi.advanceTimersByTimeAsync(120_000);
      await refused;
    } finally {
      vi.useRealTimers();
    }
  });
});

