/** What carries a session. It tells what it hears, and nothing after `close`. WebSocket here, the rest in http-wire.ts. */
import type { ServerFrame, Transport, Visibility } from "./protocol.ts";

export interface Dial {
  transport: Transport;
  /** The server's address, without a slash at its end. */
  url: string;
  token: string;
  cursor: string | null;
  topics: readonly string[];
  visibility: Visibility;
}

export interface Heard {
  /** What came. None: a sign of life, such as the answer to a ping. */
  frames(frames: ServerFrame[]): void;
  /** Resumed without a greeting of its own. */
  open(): void;
  ended(code: number, reason: string, waitMs?: number): void;
}

export interface Wire {
  send(text: string): void;
  close(): void;
}

/** Over HTTP only where a WebSocket does not work: most pages never load that part. */
export function dialWire(dial: Dial, heard: Heard): Wire {
  if (dial.transport === "ws") return dialWebSocket(dial, heard);
  let wire: Wire | null = null;
  let isClosed = false;
  import("./http-wire.ts").then(
    ({ dialHttp }) => { if (!isClosed) wire = dialHttp(dial, heard); },
    (error: unknown) => { if (!isClosed) heard.ended(1006, String(error)); },
  );
  return { send: () => undefined, close: () => { isClosed = true; wire?.close(); } };
}

function dialWebSocket({ url, token, cursor, topics, visibility }: Dial, heard: Heard): Wire {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ws`);
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token, cursor, visibility, topics }));
  socket.onmessage = ({ data }) => {
    heard.frames(String(data).split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)));
  };
  socket.onclose = ({ code, reason }) => heard.ended(code, reason);
  return {
    send: (text) => { if (socket.readyState === WebSocket.OPEN) socket.send(text); },
    close: () => { socket.onopen = socket.onmessage = socket.onclose = null; socket.close(1000); },
  };
}

