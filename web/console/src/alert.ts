/** One alert: what it says, and what became of it for each person, with the reasons. */
import { actButton } from "./acts.ts";
import { ask } from "./api.ts";
import { type Child, el, severityMark, table, time } from "./dom.ts";
import type { Shown } from "./find.ts";
import { messagesButton } from "./messages.ts";
import { address, type View } from "./view.ts";

interface Recorded { alert: Shown & Record<string, unknown>; recorded_at: string; recipients: number; seen: number }
interface Told { user: string; state: string; stopped: string | null; due_at: string | null; entries: { at: string; what: string }[] }
interface Timeline { counts: { delivery: Record<string, Record<string, number>>; engagement: Record<string, number>; waiting: Record<string, number> }; notes: string[] | null; recipients: Told[]; next: string | null }

export const alert: View = {
  title: "Alert",
  async draw(id) {
    const path = `/v1/alerts/${encodeURIComponent(id)}`;
    const [{ alert, recorded_at, recipients, seen }, timeline] = await Promise.all([
      ask<Recorded>("GET", path), ask<Timeline>("GET", `${path}/timeline?limit=20`),
    ]);
    const again = (): void => { window.dispatchEvent(new Event("hashchange")); };
    const resolve = actButton("Resolve", async () => { await ask("PATCH", path, { status: "resolved" }); return "Resolved: pushes that show it are withdrawn, and nobody is told any more."; }, again);
    const againTo = (user: string): HTMLElement => actButton(`Send again to ${user}`, async () => sentAgain(alert, user), again);
    const more = el("div", { class: "stack" }, timeline.recipients.map((told) => toldOf(id, told, againTo)));
    return el("div", { class: "stack" },
      el("section", { class: "panel" },
        el("h2", {}, alert.title),
        el("p", { class: "meta" }, severityMark(alert.severity), el("span", {}, alert.status), el("span", {}, `version ${alert.version}`), el("span", {}, "recorded ", time(recorded_at)), el("code", {}, id)),
        alert.body ? el("p", { class: "text" }, alert.body) : null,
        el("p", { class: "quiet" }, `For ${recipients} ${recipients === 1 ? "person" : "people"}, of whom ${seen} saw it.`),
        (timeline.notes ?? []).map((note) => el("p", { class: "quiet" }, `Note of the hook: ${note}`)),
        el("div", { class: "buttons" }, alert.status === "resolved" ? null : resolve),
        countsOf(timeline.counts),
        el("details", {}, el("summary", {}, "Everything it says"), el("pre", { tabindex: 0 }, JSON.stringify(alert, null, 2)))),
      el("h2", {}, "Whom it is for, and what became of it"),
      more,
      timeline.next ? moreButton(path, id, timeline.next, more, againTo) : null);
  },
};

function moreButton(path: string, id: string, after: string, into: HTMLElement, againTo: (user: string) => HTMLElement): HTMLElement {
  const button = el("button", { type: "button", click: async () => {
    const page = await ask<Timeline>("GET", `${path}/timeline?limit=20&after=${encodeURIComponent(after)}`);
    into.append(...page.recipients.map((told) => toldOf(id, told, againTo)));
    if (page.next) button.replaceWith(moreButton(path, id, page.next, into, againTo));
    else button.remove();
  } }, "More people");
  return button;
}

/** What a new alert takes over from the one that is sent again. */
const TAKEN_OVER = ["title", "body", "url", "severity", "source", "category", "labels", "data", "policy"] as const;

/**
 * A message that a provider took cannot be sent a second time under its own id: it would replace itself. So what it says is
 * published as a new alert, for this one person, who is told of it by its policy from the beginning.
 */
async function sentAgain(alert: Recorded["alert"], user: string): Promise<string> {
  const taken = Object.fromEntries(TAKEN_OVER.filter((name) => alert[name] !== undefined).map((name) => [name, alert[name]]));
  const { id } = await ask<{ id: string }>("POST", "/v1/alerts", { ...taken, to: { users: [user] } });
  return `Sent again to ${user}, as the new alert ${id}.`;
}

function countsOf({ delivery, engagement, waiting }: Timeline["counts"]): HTMLElement {
  const words = (counts: Record<string, number>): string => Object.entries(counts).filter(([, number]) => number).map(([word, number]) => `${word} ${number}`).join(", ");
  const rows: Child[][] = [...Object.entries(delivery), ["people", engagement] as const, ["waiting", waiting] as const]
    .map(([what, counts]) => [what, words(counts)]).filter(([, text]) => text !== "");
  return table("How it fares", ["By", "People"], rows, "It reached nobody yet.");
}

function toldOf(id: string, { user, state, stopped, due_at, entries }: Told, againTo: (user: string) => HTMLElement): HTMLElement {
  const standing: Child = stopped ? `over: ${stopped}` : due_at ? el("span", {}, "next check ", time(due_at)) : "nothing more is due";
  return el("section", { class: "panel", "aria-label": `What became of it for ${user}` },
    el("h3", {}, el("a", { href: address("person", user) }, user), " ", el("span", { class: "meta" }, el("span", {}, state), el("span", {}, standing))),
    el("div", { class: "buttons" }, againTo(user)),
    messagesButton(id, user),
    el("ol", { class: "timeline", "data-alert": id }, entries.map(({ at, what }) => el("li", {}, time(at), el("span", {}, what)))));
}
