/** When the next token is asked for: well before the last one is over, by the clock of the server alone, because ours may be wrong by hours. */
import type { State, Step } from "./state.ts";

/** The shortest time between two tokens, however short their lives. */
const LIFE_MIN_MS = 10_000;

/** Plans it for a token that came, once the server has said what time it is. */
export function planRenewal({ s, now, random }: Step): void {
  if (s.renewsFor === s.token || s.clockMs === null) return;
  const endsAt = s.token && expiry(s.token);
  s.renewsFor = s.token;
  s.refreshAt = endsAt ? now + Math.max(LIFE_MIN_MS, endsAt - s.clockMs - now) * (0.7 + 0.2 * random()) : null;
}

/** When a JWT is over, in milliseconds since 1970; null when it does not say. */
function expiry(token: NonNullable<State["token"]>): number | null {
  try {
    const { exp } = JSON.parse(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"))) as { exp?: unknown };
    return Number(exp) * 1_000 || null;
  } catch {
    return null;
  }
}
