/** The events of the widgets, made up by this page and published as a producer would. */
import { type FiguresData, KEPT, type RemediationData, type StateData, TOPICS, isUp } from "./widgets.ts";

type Post = (path: string, body: unknown) => Promise<unknown>;

const FIGURES_EVERY_MS = 1_000;

const event = (post: Post, topic: string, type: string, data: StateData | RemediationData | FiguresData) =>
  post(`/v1/topics/${encodeURIComponent(topic)}/events`, { type, data, keep: KEPT });

export async function fail(post: Post): Promise<void> {
  await event(post, TOPICS.state, "status_change", { up: false, text: "checkout answers 503" });
  await event(post, TOPICS.remediation, "remediation", { did: "asked checkout three times more", ok: false });
  await figures(post, false);
}

export async function mend(post: Post): Promise<void> {
  await event(post, TOPICS.remediation, "remediation", { did: "restarted checkout", ok: true });
  await event(post, TOPICS.state, "status_change", { up: true, text: "checkout answers" });
  await figures(post, true);
}

/** Figures every second, for as long as `goesOn`. The next is published when the one before it was answered. */
export async function keepPublishing(post: Post, goesOn: () => boolean): Promise<void> {
  while (goesOn()) {
    await figures(post, isUp() !== false);
    await new Promise((resolve) => setTimeout(resolve, FIGURES_EVERY_MS));
  }
}

function figures(post: Post, up: boolean): Promise<unknown> {
  const about = (middle: number, spread: number) => Math.round(middle + spread * (Math.random() - 0.5));
  const data = up
    ? { requests: about(120, 40), errors: 0, p95_ms: about(85, 30) }
    : { requests: about(35, 20), errors: about(70, 40), p95_ms: about(2_400, 900) };
  return event(post, TOPICS.figures, "figures", data);
}
