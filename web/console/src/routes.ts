/** The route tester: which route a sample takes, whom it is for, and by which policy. It publishes nothing. */
import { ask } from "./api.ts";
import { el, severityMark } from "./dom.ts";
import type { View } from "./view.ts";

interface Tried {
  alerts: { alert?: { title: string; severity: string; status: string; policy: string | null; to: { users: string[]; groups: string[]; everyone: boolean } }; notes?: string[]; routes?: string[]; refused?: { field: string | null; detail: string }; passed?: string; counted?: { id: string } }[];
  lines: string[];
}

const HOOKS = ["alertmanager", "grafana", "sentry", "uptime-kuma", "datadog", "github", "pagerduty"];
const SAMPLE = JSON.stringify({ title: "Disk full on db-1", severity: "critical", labels: { team: "storage", env: "prod" } }, null, 2);
/** What is tried. It stays while the page is open. */
const tried = { hook: "", query: "", body: SAMPLE };

export const routes: View = {
  title: "Route tester",
  async draw() {
    const found = el("section", { class: "panel", "aria-live": "polite", hidden: true });
    const keep = (name: keyof typeof tried) => ({ target }: Event): void => { tried[name] = (target as HTMLInputElement).value; };
    const form = el("form", { class: "stack", submit: (event) => {
      event.preventDefault();
      void ask<Tried>("POST", "/routes/try", tried).then((answer) => found.replaceChildren(...shownOf(answer)), (error: unknown) => found.replaceChildren(el("p", { class: "bad" }, String((error as Error).message)))).finally(() => { found.hidden = false; });
    } },
      el("div", { class: "fields" },
        el("label", {}, "Posted to the hook", el("input", { value: tried.hook, list: "hooks", placeholder: "none: an alert or its labels", autocomplete: "off", input: keep("hook") }), el("datalist", { id: "hooks" }, HOOKS.map((value) => el("option", { value })))),
        el("label", {}, "Behind its address", el("input", { value: tried.query, placeholder: "users=ana&policy=critical", autocomplete: "off", input: keep("query") }))),
      el("label", { class: "wide" }, "Sample", el("textarea", { rows: 12, spellcheck: "false", input: keep("body") }, tried.body)),
      el("div", {}, el("button", { class: "main" }, "Try")));
    return el("div", { class: "stack" }, el("section", { class: "panel" }, el("h2", {}, "Try a sample"),
      el("p", { class: "quiet" }, "It is read as a post for the tenant above would be, and published to nobody."), form), found);
  },
};

function shownOf({ alerts, lines }: Tried): HTMLElement[] {
  const several = (title: string, texts: string[]): HTMLElement[] => (texts.length ? [el("h3", {}, title), el("ul", { class: "plain" }, texts.map((text) => el("li", {}, text)))] : []);
  return [
    el("h2", {}, "What it would become"), ...several("Routes", lines),
    ...alerts.map(({ alert, notes, routes, refused, passed, counted }) => {
      if (!alert) return el("p", { class: refused ? "bad" : "" }, refused ? `Refused: ${[refused.field, refused.detail].filter(Boolean).join(": ")}` : passed ? `Nothing is published: ${passed}` : `Counted in the summary ${counted?.id ?? ""}`);
      const { to } = alert;
      const whom = [...to.users, ...to.groups.map((group) => `the group ${group}`), ...(to.everyone ? ["everyone"] : [])].join(", ");
      return el("div", { class: "stack" }, el("p", {}, severityMark(alert.severity), ` ${alert.status}: `, el("b", {}, alert.title)), el("p", {}, `For ${whom || "nobody"}; policy ${alert.policy ?? "by category or severity"}.`),
        ...several("Routes", routes ?? []), ...several("Notes", notes ?? []));
    }),
  ];
}
