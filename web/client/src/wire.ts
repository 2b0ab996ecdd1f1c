/** What carries a session, and tells what it hears; after `close` nobody listens. WebSocket here, the rest in http-wire.ts. */
import type { Transport, Visibility } from "./protocol.ts";
import { parse } from "./shapes.ts";
import type { WireEvent } from "./state.ts";

export interface Dial {
  transport: Transport;
  /** The server's address, without a slash at its end. */
  url: string;
  token: string;
  cursor: string | null;
  topics: readonly string[];
  visibility: Visibility;
}

export type Hear = (event: WireEvent) => void;

export interface Wire {
  send(text: string): void;
  close(): void;
}

/** Over HTTP only where a WebSocket does not work: most pages never load that part. */
export function dialWire(dial: Dial, hear: Hear): Wire {
  if (dial.transport === "ws") return dialWebSocket(dial, hear);
  let wire: Wire | null = null;
  let isClosed = false;
  import("./http-wire.ts").then(
    ({ dialHttp }) => { if (!isClosed) wire = dialHttp(dial, hear); },
    () => hear({ kind: "ended", code: 1006 }),
  );
  return { send: () => undefined, close: () => { isClosed = true; wire?.close(); } };
}

function dialWebSocket({ url, token, cursor, topics, visibility }: Dial, hear: Hear): Wire {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ws`);
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token, cursor, visibility, topics }));
  socket.onmessage = ({ data }) => {
    hear({ kind: "frames", frames: String(data).split("\n").filter((line) => line.startsWith("{")).map(parse) });
  };
  socket.onclose = ({ code, reason }) => hear({ kind: "ended", code, reason });
  return {
    send: (text) => { if (socket.readyState === WebSocket.OPEN) socket.send(text); },
    close: () => socket.close(1000),
  };
}

