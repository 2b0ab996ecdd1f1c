/** Finding an alert or a person: the newest alerts, filtered, and whoever has the name that was written. */
import { ask, Refused } from "./api.ts";
import { type Child, el, severityMark, table, time } from "./dom.ts";
import { address, type View } from "./view.ts";

export interface Shown { id: string; version: number; title: string; body?: string; severity: string; status: string; source?: string; category?: string; labels?: Record<string, string> }
interface Listed { alert: Shown; recorded_at: string }
interface Page { alerts: Listed[]; next: string | null }

const PER_PAGE = 100;
/** What is looked for. It stays while the page is open. */
const wanted = { text: "", severity: "", status: "" };

export const find: View = {
  title: "Find",
  async draw() {
    const found = el("div", { class: "stack", "aria-live": "polite" });
    const form = el("form", { class: "search", role: "search", submit: (event) => { event.preventDefault(); read(); } },
      el("label", {}, "Alert or person", el("input", { id: "text", type: "search", value: wanted.text, placeholder: "an id, words of a title, or a user", autocomplete: "off" })),
      choice("severity", "Severity", ["critical", "warning", "info"]),
      choice("status", "Status", ["firing", "acknowledged", "suppressed", "resolved"]),
      el("button", { class: "main" }, "Find"));
    const read = (): void => {
      for (const name of ["text", "severity", "status"] as const) wanted[name] = (form.elements.namedItem(name) as HTMLInputElement).value.trim();
      void search().then((children) => found.replaceChildren(...children), (error: unknown) => found.replaceChildren(el("p", { class: "bad" }, String((error as Error).message))));
    };
    found.replaceChildren(...(await search()));
    return el("div", { class: "stack" }, form, found);
  },
};

function choice(name: "severity" | "status", label: string, words: string[]): HTMLElement {
  return el("label", {}, label, el("select", { id: name }, el("option", { value: "" }, "any"), words.map((word) => el("option", { value: word, selected: wanted[name] === word }, word))));
}

async function search(): Promise<HTMLElement[]> {
  const { text, severity, status } = wanted;
  const filter = new URLSearchParams({ limit: String(PER_PAGE), ...(severity ? { severity } : {}), ...(status ? { status } : {}) });
  const [page, alert, person, named] = await Promise.all([
    ask<Page>("GET", `/v1/alerts?${filter}`),
    text ? orNothing(ask<{ alert: Shown }>("GET", `/v1/alerts/${encodeURIComponent(text)}`)) : null,
    text ? orNothing(ask<{ user: string; known: boolean }>("GET", `/v1/users/${encodeURIComponent(text)}`)) : null,
    text ? orNothing(ask<{ users: { user: string }[] }>("GET", `/v1/users?limit=10&prefix=${encodeURIComponent(text)}`)) : null,
  ]);
  const people = new Set([...(person?.known ? [person.user] : []), ...(named?.users ?? []).map(({ user }) => user)]);
  const has = ({ alert: { title, id } }: Listed): boolean => !text || title.toLowerCase().includes(text.toLowerCase()) || id === text;
  const alerts = page.alerts.filter(has);
  const exact = alert && !alerts.some(({ alert: { id } }) => id === alert.alert.id) ? [el("p", {}, "The alert with this id: ", link(alert.alert))] : [];
  return [
    ...(text ? [el("section", { class: "panel" }, el("h2", {}, "People"),
      people.size ? el("ul", { class: "plain" }, [...people].map((user) => el("li", {}, el("a", { href: address("person", user) }, user)))) : el("p", { class: "quiet" }, "Nobody's name begins so."))] : []),
    el("section", { class: "panel" }, el("h2", {}, "Alerts"), ...exact, listOf(alerts, text),
      page.next ? el("p", { class: "quiet" }, `Among the newest ${page.alerts.length}. An older one is found by its id.`) : null),
  ];
}

const link = ({ id, title }: Shown): HTMLElement => el("a", { href: address("alert", id) }, title);

function listOf(alerts: Listed[], text: string): HTMLElement {
  const rows = alerts.map(({ alert, recorded_at }): Child[] => [time(recorded_at), severityMark(alert.severity), alert.status, link(alert), el("code", {}, alert.id)]);
  return table("Alerts", ["Recorded", "Severity", "Status", "Title", "Id"], rows, text ? "No title has these words." : "There are no alerts.");
}

/** What is not there is no failure of a search. */
async function orNothing<T>(asked: Promise<T>): Promise<T | null> {
  return asked.catch((error: unknown) => { if (error instanceof Refused && [404, 422].includes(error.status)) return null; throw error; });
}
