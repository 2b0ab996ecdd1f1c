/** The user's HTTP API, which a session needs beside its connection. */
import { isLike, parse } from "./shapes.ts";

/** How long an answer may take, with its body. */
const ANSWER_WAIT_MS = 10_000;

/** A refusal of the server, with its status; 0: what answered is not the server. */
export class HttpError extends Error {
  constructor(readonly status: number, title: string) {
    super(title);
  }
}

/** Asks and reads the answer. A problem document's words become the error's. The answer has to be like `example`. `keepalive`: also when the page goes meanwhile. */
export async function request<T>(address: string, token: string, method: string, body?: unknown, example: object = {}, keepalive = false): Promise<T> {
  const response = await fetch(address, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
    keepalive,
    signal: AbortSignal.timeout(ANSWER_WAIT_MS),
  });
  const answer = parse((await response.text()) || "{}");
  if (!isLike(answer, response.ok ? example : {})) throw new HttpError(0, "what answered is not the server");
  const { detail, title = `HTTP ${response.status}` } = answer as { detail?: string; title?: string };
  if (!response.ok) throw new HttpError(response.status, detail ?? title);
  return answer as T;
}

/** What was promised, or a rejection when that takes too long. */
export function within<T>(ms: number, promised: T | Promise<T>): Promise<T> {
  return Promise.race([promised, new Promise<never>((_, reject) => setTimeout(() => reject(new Error("nothing came in time")), ms))]);
}
