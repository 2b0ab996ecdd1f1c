/** The user's HTTP API, which a session needs beside its connection. */

const TIMEOUT_MS = 10_000;

export class HttpError extends Error {
  constructor(readonly status: number, title: string) {
    super(title);
  }
}

/** Asks and reads the answer. A problem document's words become the error's. */
export async function request<T>(address: string, token: string, method: string, body?: unknown): Promise<T> {
  const response = await fetch(address, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  const answer = text.startsWith("{") ? JSON.parse(text) : {};
  if (!response.ok) throw new HttpError(response.status, answer.detail ?? answer.title ?? `HTTP ${response.status}`);
  return answer;
}
