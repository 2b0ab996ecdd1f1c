/**
 * Policies on a time line: those that hold, and one that is being written. Policies live in the configuration file, so nothing is
 * saved here: the form gives the text to paste, which the parser of the configuration has read.
 */
import { ask, Refused } from "./api.ts";
import { el, table } from "./dom.ts";
import { seconds } from "./chart.ts";
import type { View } from "./view.ts";

interface Line { after_s: number; channel: string | null; tells: boolean; what: string }
interface Policy { mandatory: boolean; expires_after_s: number | null; group: string; timelines: Record<string, Line[]> }
interface Policies { policies: Record<string, Policy>; channels: string[]; unless: string[] }

export interface Step { channel: string; after: string; unless: string[] }
export interface Draft { name: string; steps: Step[]; mandatory: boolean; expires_after: string; group: Group }

/** What it means for the others what one recipient does; the first is what holds where nothing is said. */
const GROUPS = { each: "nothing: each is told", first_stops_all: "the first who looks stops it for all", first_acknowledges: "the first who acknowledges stops it for all" };
type Group = keyof typeof GROUPS;
const SEVERITIES = ["critical", "warning", "info"];
/** What is being written. It stays while the page is open. */
const draft: Draft = {
  name: "on-call", mandatory: false, expires_after: "", group: "each",
  steps: [{ channel: "push", after: "30s", unless: [] }, { channel: "email", after: "5m", unless: ["pushed"] }],
};

/** The draft as it stands in the configuration file. */
export function tomlOf({ name, steps, mandatory, expires_after, group }: Draft): string {
  const text = (value: string): string => JSON.stringify(value);
  const step = ({ channel, after, unless }: Step): string =>
    `  {channel = ${text(channel)}, after = ${text(after)}${unless.length ? `, unless = [${unless.map(text).join(", ")}]` : ""}},`;
  return [
    `[policies.${/^[A-Za-z0-9_-]+$/.test(name) ? name : text(name)}]`,
    "steps = [", ...steps.map(step), "]",
    ...(mandatory ? ["mandatory = true"] : name === "critical" ? ["mandatory = false"] : []),
    ...(expires_after ? [`expires_after = ${text(expires_after)}`] : []),
    ...(group === "each" ? [] : [`group = ${text(group)}`]),
  ].join("\n") + "\n";
}

export const policies: View = {
  title: "Policies",
  async draw() {
    const known = await ask<Policies>("GET", "/policies");
    return el("div", { class: "stack" },
      el("section", { class: "panel" }, el("h2", {}, "Write a policy"), formOf(known)),
      el("h2", {}, "Policies that hold"),
      Object.entries(known.policies).map(([name, policy]) => el("section", { class: "panel" }, el("h3", {}, name),
        el("p", { class: "meta" }, policy.mandatory ? el("span", {}, "mandatory: quiet hours and opt-outs do not hold") : null, el("span", {}, `group: ${policy.group}`),
          policy.expires_after_s === null ? null : el("span", {}, `expires after ${seconds(policy.expires_after_s)}`)),
        severitiesOf(policy))));
  },
};

function formOf({ channels, unless }: Policies): HTMLElement {
  const shown = el("div", { class: "stack", "aria-live": "polite" });
  let round = 0;
  const check = async (): Promise<void> => {
    const mine = ++round;
    const toml = tomlOf(draft);
    const found = await ask<Policies>("POST", "/policies/check", { toml }).catch((error: unknown) => error as Error);
    if (mine !== round) return;
    const policy = found instanceof Error ? undefined : found.policies[draft.name];
    shown.replaceChildren(
      policy ? severitiesOf(policy) : el("p", { class: "bad" }, found instanceof Refused ? found.message : `It cannot be checked: ${found instanceof Error ? String(found) : "it has no name"}`),
      el("h3", {}, "To paste into the configuration"), el("pre", { tabindex: 0, id: "toml" }, toml),
      el("p", { class: "quiet" }, "Nothing is saved here. Put this into ", el("code", {}, "watchbell.toml"), " (below ", el("code", {}, "[tenants.NAME.policies…]"),
        " for one tenant), run ", el("code", {}, "watchbell config check"), ", and restart the processes: policies are read at the start."));
  };
  const text = (label: string, value: string, set: (value: string) => void, placeholder = ""): HTMLElement =>
    el("label", {}, label, el("input", { value, placeholder, autocomplete: "off", spellcheck: "false", input: ({ target }) => { set((target as HTMLInputElement).value.trim()); void check(); } }));
  const tick = (label: string, value: boolean, set: (value: boolean) => void): HTMLElement =>
    el("label", { class: "check" }, el("input", { type: "checkbox", checked: value, change: ({ target }) => { set((target as HTMLInputElement).checked); void check(); } }), label);
  const steps = el("div", { class: "stack" });
  const drawSteps = (): void => {
    steps.replaceChildren(...draft.steps.map((step, at) => el("fieldset", {}, el("legend", {}, `Step ${at + 1}`),
      el("div", { class: "fields" },
        el("label", {}, "By", el("select", { change: ({ target }) => { step.channel = (target as HTMLSelectElement).value; void check(); } }, channels.map((channel) => el("option", { selected: channel === step.channel }, channel)))),
        text("After", step.after, (value) => { step.after = value; }, "30s, 5m, 1h"),
        el("label", {}, "Left out when", el("select", { change: ({ target }) => { const { value } = target as HTMLSelectElement; step.unless = value ? [value] : []; void check(); } },
          el("option", { value: "" }, "never"), unless.map((word) => el("option", { value: word, selected: step.unless[0] === word }, word)))),
        draft.steps.length > 1 ? el("button", { type: "button", click: () => { draft.steps.splice(at, 1); drawSteps(); void check(); } }, `Remove step ${at + 1}`) : null))),
    el("button", { type: "button", class: "add", click: () => { draft.steps.push({ channel: channels.find((channel) => !draft.steps.some((step) => step.channel === channel)) ?? channels[0] ?? "push", after: "10m", unless: [] }); drawSteps(); void check(); } }, "Add a step"));
  };
  drawSteps();
  void check();
  return el("form", { class: "stack", submit: (event) => event.preventDefault() },
    el("div", { class: "fields" }, text("Name", draft.name, (value) => { draft.name = value; }), text("Alerts expire after", draft.expires_after, (value) => { draft.expires_after = value; }, "as configured: 7d")),
    steps,
    el("div", { class: "fields" }, tick("mandatory", draft.mandatory, (value) => { draft.mandatory = value; }),
      el("label", {}, "What one does for the others", el("select", { id: "group", change: ({ target }) => { draft.group = (target as HTMLSelectElement).value as Group; void check(); } },
        Object.entries(GROUPS).map(([word, means]) => el("option", { value: word, selected: word === draft.group }, means))))),
    el("h3", {}, "What becomes of an alert that nobody looks at"), shown);
}

/** One time line where all severities have the same, else one for each. */
function severitiesOf({ timelines }: Policy): HTMLElement {
  const groups = new Map<string, string[]>();
  for (const severity of SEVERITIES) {
    const look = JSON.stringify(timelines[severity] ?? []);
    groups.set(look, [...(groups.get(look) ?? []), severity]);
  }
  return el("div", { class: "stack" }, [...groups].map(([look, severities]) => timelineOf(severities.length === SEVERITIES.length ? "Every severity" : severities.join(" and "), JSON.parse(look) as Line[])));
}

function timelineOf(title: string, lines: Line[]): HTMLElement {
  const told = lines.filter(({ tells }) => tells);
  return el("div", { class: "stack" },
    el("ol", { class: "road", "aria-label": `${title}: who is told when` }, el("li", { class: "begin" }, el("b", {}, "0 s"), `${title}: on every screen`),
      told.map(({ after_s, what }) => el("li", {}, el("b", {}, `+${seconds(after_s)}`), what))),
    el("details", {}, el("summary", {}, "Every step, with its reason"), table(`${title}: every step`, ["After", "What"], lines.map(({ after_s, what }) => [seconds(after_s), what]), "Nothing.")));
}
