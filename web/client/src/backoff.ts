/** How long to wait before the next dial. Chance is an argument, so that tests need none. */
export interface Backoff {
  /** Dials without a healthy session between them; after these the client gives up. */
  attemptsMax: number;
  /** The wait before dial number `attempt` (from 0), in milliseconds. */
  waitMs(attempt: number, random: () => number): number;
}

/** Full jitter, doubling to a minute; after ten dials that did not help, to ten minutes. Never gives up. */
export const fullJitter: Backoff = {
  attemptsMax: Infinity,
  waitMs: (attempt, random) => random() * Math.min(attempt < 10 ? 60_000 : 600_000, 1_000 * 2 ** Math.min(attempt, 20)),
};

/** Named waits, the last one repeated. Each is shortened by up to a half, so that a fleet of clients does not come as one. */
export function steps(waitsMs: readonly number[], attemptsMax = Infinity): Backoff {
  return { attemptsMax, waitMs: (attempt, random) => (waitsMs[attempt] ?? waitsMs.at(-1) ?? 1_000) * (0.5 + random() / 2) };
}

/** 1, 2, 5, 10, 30 s, and after ten dials no more. */
export const tenAttempts = steps([1_000, 2_000, 5_000, 10_000, 30_000], 10);
