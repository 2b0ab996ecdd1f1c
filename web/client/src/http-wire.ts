/** A session over HTTP, where WebSockets do not get through: server-sent events, or polls. */
import type { ServerFrame } from "./protocol.ts";
import type { Dial, Heard, Wire } from "./wire.ts";

/** How long one poll waits for something to say, in seconds. */
const POLL_WAIT_S = 25;
/** Polls that answer at once are spaced by this. */
const POLL_PAUSE_MS = 200;

export function dialHttp(dial: Dial, heard: Heard): Wire {
  return dial.transport === "sse" ? dialSse(dial, heard) : dialPoll(dial, heard);
}

/** Server-sent events by `fetch`: unlike `EventSource` it sends the token as a header and shows the status. */
function dialSse(dial: Dial, heard: Heard): Wire {
  return carry(heard, async (abort) => {
    const response = await get(dial, "/v1/sse", dial.cursor, abort);
    if (!response.ok || !response.body) return refusal(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return { code: 1006, reason: "the stream ended" };
      const blocks = (rest + value).replace(/\r/g, "").split("\n\n");
      rest = blocks.pop() ?? "";
      const frames = blocks.flatMap((block) => block.split("\n")).filter((line) => line.startsWith("data:"));
      const end = take(frames.map((line) => JSON.parse(line.slice(5))), heard);
      if (end) return end;
    }
  });
}

function dialPoll(dial: Dial, heard: Heard): Wire {
  return carry(heard, async (abort) => {
    let { cursor } = dial;
    for (let round = 0; ; round++) {
      const response = await get(dial, "/v1/poll", cursor, abort, `&wait=${round ? POLL_WAIT_S : 0}`);
      if (!response.ok) return refusal(response);
      const frames: (ServerFrame & { cursor?: string })[] = await response.json();
      if (abort.aborted) return null;
      if (!round && frames[0]?.type !== "hello") heard.open();
      const end = take(frames, heard);
      if (end) return end;
      cursor = frames.findLast((frame) => frame.cursor)?.cursor ?? cursor;
      if (frames.length) await pause(POLL_PAUSE_MS);
    }
  });
}

interface End { code: number; reason: string; waitMs?: number }

/** Frames to the machine; a `close` frame says over HTTP what a close code says on a WebSocket. */
function take(frames: object[], heard: Heard): End | null {
  const close = frames.find((frame): frame is End => "type" in frame && frame.type === "close");
  heard.frames(frames.filter((frame) => frame !== close) as ServerFrame[]);
  return close ?? null;
}

function carry(heard: Heard, run: (abort: AbortSignal) => Promise<End | null>): Wire {
  const abort = new AbortController();
  const end = ({ code, reason, waitMs }: End) => { if (!abort.signal.aborted) heard.ended(code, reason, waitMs); };
  run(abort.signal).then((ended) => ended && end(ended), (error: unknown) => end({ code: 1006, reason: String(error) }));
  return { send: () => undefined, close: () => abort.abort() };
}

function get(dial: Dial, path: string, cursor: string | null, signal: AbortSignal, more = ""): Promise<Response> {
  const at = cursor === null ? "" : `cursor=${encodeURIComponent(cursor)}`;
  const topics = dial.topics.length ? `&topics=${encodeURIComponent(dial.topics.join(","))}` : "";
  const headers = { authorization: `Bearer ${dial.token}` };
  return fetch(`${dial.url}${path}?${at}${topics}${more}`, { headers, signal, cache: "no-store" });
}

const CODES: Record<number, number> = { 401: 4300, 403: 4003, 429: 4101, 503: 4100 };

/** An HTTP status as the close code of the same meaning; anything else says that this way does not work. */
function refusal(response: Response): End {
  const waitMs = Number(response.headers.get("retry-after")) * 1_000 || 0;
  return { code: CODES[response.status] ?? 1006, reason: `HTTP ${response.status}`, waitMs };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
