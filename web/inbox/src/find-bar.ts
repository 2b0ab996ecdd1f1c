/** The bar with search and filters. Loaded when the person first looks for something. */
import { el, setText } from "./dom.ts";
import type { Finding } from "./finding.ts";
import { detailsFor } from "./details-words.ts";

/** What the bar needs of the element. */
export interface FindHost {
  readonly language: string;
  readonly now: { alerts: readonly { alert: { category?: string; labels?: Record<string, string> } }[] } | null;
}

const SEVERITIES = ["", "critical", "warning", "info"] as const;
/** Suggestions of a list at the most. */
const SUGGESTED_MAX = 50;

export class FindBar {
  readonly element = el("div", { class: "find-bar", role: "search" });
  readonly #search = el("input", { type: "search", autocomplete: "off", spellcheck: "false", dir: "auto" });
  readonly #severity = el("select", { "data-control": "question" });
  readonly #category = el("input", { "data-control": "question", list: "categories", autocomplete: "off", dir: "auto" });
  readonly #label = el("input", { "data-control": "question", list: "labels", autocomplete: "off", dir: "auto" });

  constructor(readonly finding: Finding, readonly host: FindHost) {
    this.#severity.append(...SEVERITIES.map((value) => el("option", { value })));
    this.draw();
    const known = host.now?.alerts ?? [];
    const categories = known.flatMap(({ alert }) => alert.category ?? []);
    const labels = known.flatMap(({ alert }) => Object.entries(alert.labels ?? {}).map(([name, value]) => `${name}:${value}`));
    this.element.append(this.#search, this.#severity, this.#category, this.#label, suggestions("categories", categories), suggestions("labels", labels));
  }

  /** Asks for what the filters say. */
  ask(): void {
    this.finding.ask({ q: this.#search.value, severity: this.#severity.value, category: this.#category.value.trim(), label: this.#label.value });
  }

  clear(): void {
    for (const field of [this.#search, this.#category, this.#label]) field.value = "";
    this.#severity.value = "";
    this.ask();
  }

  focus(): void {
    this.#search.focus();
  }

  draw(): void {
    const words = detailsFor(this.host.language);
    for (const [field, name] of [[this.#search, words.searchIn], [this.#category, words.category], [this.#label, words.label]] as const) {
      field.setAttribute("aria-label", name);
      field.setAttribute("placeholder", name);
    }
    this.#severity.setAttribute("aria-label", words.severity);
    SEVERITIES.forEach((value, at) => setText(this.#severity.options[at] as Element, value ? words[value] : words.anySeverity));
  }
}

function suggestions(id: string, values: readonly string[]): HTMLElement {
  return el("datalist", { id }, ...[...new Set(values)].sort().slice(0, SUGGESTED_MAX).map((value) => el("option", { value })));
}
