/** The keys, told. Loaded when asked for. */
import { el } from "./dom.ts";
import { detailsFor } from "./details-words.ts";

export function helpOf(language: string): HTMLElement {
  const words = detailsFor(language);
  const keys: [string, string][] = [
    ["↑ ↓", words.keyMove], ["Home End", words.keyEnds], ["Enter", words.open], ["R", words.read], ["U", words.unread], ["Delete", words.dismiss],
    ["S", words.snooze], ["X", words.select], ["/", words.find], ["?", words.help], ["Esc", words.close],
  ];
  return el("div", {}, el("h3", {}, words.help), el("dl", { class: "keys" }, ...keys.flatMap(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])));
}
