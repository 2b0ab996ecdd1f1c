/**
 * What comes from the network may be anything: the sign-in page of a hotel, half an answer, another product's server.
 * It is held against an example of what it should be, so that the rest of the client need not ask.
 */
import type { ServerFrame } from "./protocol.ts";

const PLACE = { seq: 0, cursor: "", unread: 0 };
const ROW = { seq: 0, state: "", alert: { id: "", title: "" } };

/** What is read of each frame. What is not here is ignored, as what a later server adds. */
const FRAMES: Record<string, object> = {
  hello: { ...PLACE, user: "", heartbeat_ms: 0 },
  alert: { ...PLACE, ...ROW },
  receipt: { ...PLACE, state: "", alerts: [""] },
  resync: PLACE,
  ping: { seq: 0 },
  goaway: { after_ms: 0, within_ms: 0 },
  event: { topic: "", event: {} },
  snapshot: { topic: "", events: [{}] },
};

export function isFrame(value: unknown): value is ServerFrame {
  return isLike(value, { type: "" }) && isLike(value, FRAMES[(value as ServerFrame).type] ?? {});
}

/** What is read of a page of the inbox. */
export const PAGE = { ...PLACE, alerts: [ROW] };

/** The value of a JSON text; undefined where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether it has all that the example has, of the same types; in a list without an example, anything. Numbers are those that can be counted with. */
export function isLike(value: unknown, example: unknown): boolean {
  if (typeof value !== typeof example || value === null) return false;
  if (Array.isArray(example)) return Array.isArray(value) && example.every((like) => value.every((one) => isLike(one, like)));
  if (typeof example === "object") return Object.entries(example as object).every(([key, one]) => isLike((value as Record<string, unknown>)[key], one));
  return typeof value !== "number" || Number.isSafeInteger(value);
}
