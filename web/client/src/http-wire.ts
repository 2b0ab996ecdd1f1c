/** A session over HTTP, where WebSockets do not get through: server-sent events, or polls. */
import { parse } from "./shapes.ts";
import type { Trouble, WireEvent } from "./state.ts";
import type { Dial, Hear, Wire } from "./wire.ts";

/** How long one poll waits for something to say, in seconds. */
const POLL_WAIT_S = 25;
/** Polls are spaced by this, however soon they are answered. */
const POLL_PAUSE_MS = 200;
/** Characters of one event; the longest of the server, a snapshot of a topic, are far shorter. */
const EVENT_CHARS_MAX = 16 * 1024 * 1024;
/** Whatever an answer says of coming again, it is waited for no longer. */
const RETRY_AFTER_MAX_MS = 600_000;
/** How long it may take to find out why nothing answers. */
const LOOK_WAIT_MS = 3_000;

export function dialHttp(dial: Dial, hear: Hear): Wire {
  return dial.transport === "sse" ? dialSse(dial, hear) : dialPoll(dial, hear);
}

/** Server-sent events by `fetch`: unlike `EventSource` it sends the token as a header and shows the status. */
function dialSse(dial: Dial, hear: Hear): Wire {
  return carry(dial, hear, async (abort) => {
    const response = await get(dial, "/v1/sse", dial.cursor, abort);
    if (!response.ok) return refusal(response);
    if (!response.body || !isOf(response, "text/event-stream")) return broken("blocked");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return broken("unreachable");
      const blocks = (rest + value).replace(/\r/g, "").split("\n\n");
      rest = blocks.pop() ?? "";
      if (rest.length > EVENT_CHARS_MAX) return broken("blocked");
      const frames = blocks.flatMap((block) => block.split("\n")).filter((line) => line.startsWith("data:"));
      const end = take(frames.map((line) => parse(line.slice(5))), hear);
      if (end) return end;
    }
  });
}

function dialPoll(dial: Dial, hear: Hear): Wire {
  return carry(dial, hear, async (abort) => {
    let { cursor } = dial;
    for (let round = 0; ; round++) {
      const response = await get(dial, "/v1/poll", cursor, abort, `&wait=${round ? POLL_WAIT_S : 0}`);
      if (!response.ok) return refusal(response);
      const frames = parse(await response.text());
      if (abort.aborted) return null;
      if (!Array.isArray(frames)) return broken("blocked");
      if (!round && typeOf(frames[0]) !== "hello") hear({ kind: "open" });
      const end = take(frames, hear);
      if (end) return end;
      cursor = (frames as { cursor?: string }[]).findLast((frame) => frame?.cursor)?.cursor ?? cursor;
      await pause(POLL_PAUSE_MS);
    }
  });
}

type End = Extract<WireEvent, { kind: "ended" }>;

const typeOf = (frame: unknown): unknown => (frame as { type?: unknown } | null | undefined)?.type;

/** Frames to the machine; a `close` frame says over HTTP what a close code says on a WebSocket. */
function take(frames: unknown[], hear: Hear): End | null {
  hear({ kind: "frames", frames: frames.filter((frame) => !isClose(frame)) });
  const close = frames.find(isClose);
  return close ? { kind: "ended", code: close.code, reason: String(close.reason) } : null;
}

const isClose = (frame: unknown): frame is { code: number; reason: unknown } => typeOf(frame) === "close" && typeof (frame as { code?: unknown }).code === "number";

function carry(dial: Dial, hear: Hear, run: (abort: AbortSignal) => Promise<End | null>): Wire {
  const abort = new AbortController();
  const end = (ended: End) => { if (!abort.signal.aborted) hear(ended); };
  run(abort.signal).then((ended) => ended && end(ended), async () => end(broken(await troubleOf(dial))));
  return { send: () => undefined, close: () => abort.abort() };
}

function get(dial: Dial, path: string, cursor: string | null, signal: AbortSignal, more = ""): Promise<Response> {
  const at = cursor === null ? "" : `cursor=${encodeURIComponent(cursor)}`;
  const topics = dial.topics.length ? `&topics=${encodeURIComponent(dial.topics.join(","))}` : "";
  const headers = { authorization: `Bearer ${dial.token}` };
  return fetch(`${dial.url}${path}?${at}${topics}${more}`, { headers, signal, cache: "no-store" });
}

/** Refusals that only our server may give: a proxy's own sign-in page must not end the session. */
const OURS: Record<number, number> = { 401: 4300, 403: 4003 };
const ANYBODYS: Record<number, number> = { 429: 4101, 503: 4100 };

/** An HTTP status as the close code of the same meaning; anything else says that this way does not work. */
function refusal(response: Response): End {
  const { status } = response;
  const isOurs = isOf(response, "application/problem+json");
  const code = ANYBODYS[status] ?? (isOurs ? OURS[status] : undefined);
  const waitMs = Math.min(RETRY_AFTER_MAX_MS, Math.max(0, Number(response.headers.get("retry-after")) * 1_000 || 0));
  return code ? { kind: "ended", code, reason: `HTTP ${status}`, waitMs } : { ...broken(isOurs ? "unreachable" : "blocked"), waitMs };
}

const isOf = (response: Response, type: string): boolean => response.headers.get("content-type")?.startsWith(type) ?? false;

const broken = (trouble: Trouble): End => ({ kind: "ended", code: 1006, trouble });

/** A page is not told why a request failed. Where one that asks for no answer gets through, the server does not allow our origin. */
async function troubleOf({ url }: Dial): Promise<Trouble> {
  if (url.startsWith(`${location.origin}/`) || url === location.origin) return "unreachable";
  const asked = fetch(`${url}/v1/inbox`, { mode: "no-cors", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(LOOK_WAIT_MS) });
  return asked.then(() => "origin", () => "unreachable");
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
