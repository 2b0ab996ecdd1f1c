import { expect, it } from "vitest";
import { isWithin } from "../src/settings.ts";
import { detailsFor } from "../src/details-words.ts";
import ar from "../src/languages/ar.ts";
import de from "../src/languages/de.ts";
import es from "../src/languages/es.ts";
import fr from "../src/languages/fr.ts";
import ja from "../src/languages/ja.ts";
import { ago, directionOf, fill, onLanguage, registerLanguage, wordsFor } from "../src/words.ts";

// 2026-06-01 is a Monday; Warsaw is two hours ahead of UTC then.
const night = { days: ["mon"], from: "23:00", to: "07:00" };
const noon = { days: ["mon", "tue"], from: "12:00:00", to: "13:00:00" };
it.each([
  ["before it begins", night, "UTC", "2026-06-01T22:59:00Z", false],
  ["when it begins", night, "UTC", "2026-06-01T23:00:00Z", true],
  ["over midnight", night, "UTC", "2026-06-02T06:59:00Z", true],
  ["when it ends", night, "UTC", "2026-06-02T07:00:00Z", false],
  ["of a day that it does not begin on", night, "UTC", "2026-06-01T03:00:00Z", false],
  ["on the clock of its zone", night, "Europe/Warsaw", "2026-06-01T21:00:00Z", true],
  ["with seconds written", noon, "UTC", "2026-06-02T12:30:00Z", true],
  ["on another day", noon, "UTC", "2026-06-03T12:30:00Z", false],
] as const)("a quiet window %s", (_why, { days, from, to }, zone, at, expected) => {
  expect(isWithin({ days: [...days], from, to }, zone, Date.parse(at))).toBe(expected);
});

it.each(Object.entries({ ar, de, es, fr, ja }))("%s says everything, with the same places for values", (_tag, words) => {
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  const en = detailsFor("en");
  expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) {
    const said = (words as Record<string, string>)[key] ?? "";
    expect([key, ...places(said)]).toEqual([key, ...places(text)]);
    if (text) expect(said, key).not.toBe("");
  }
});

it("a language that comes with the element is loaded when it is asked for", async () => {
  const loaded = new Promise<void>((resolve) => { onLanguage(resolve); });
  expect(wordsFor("de-AT").title).toBe("Alerts"); // Until it is here.
  await loaded;
  expect([wordsFor("de-AT").title, detailsFor("de").zone, wordsFor("tlh").title]).toEqual(["Meldungen", "Zeitzone", "Alerts"]);
});

it("a page adds a language of its own, and what it leaves out is said in English", () => {
  registerLanguage("pt", { title: "Alertas" });
  registerLanguage("pt-BR", { readAll: "Ler tudo" });
  expect([wordsFor("pt-BR").title, wordsFor("pt-BR").readAll, wordsFor("pt-PT").readAll]).toEqual(["Alertas", "Ler tudo", "Read all"]);
  expect(fill(wordsFor("pt").more, { n: 2 })).toBe("and 2 more");
});

it.each([["ar", "rtl"], ["he-IL", "rtl"], ["fa", "rtl"], ["de", "ltr"], ["arn", "ltr"], ["", "ltr"]])("%s is written %s", (lang, expected) => {
  expect(directionOf(lang)).toBe(expected);
});

it("an age is in the largest unit that fits", () => {
  const now = Date.parse("2026-06-01T12:00:00Z");
  expect(["2026-06-01T11:59:58Z", "2026-06-01T11:59:20Z", "2026-06-01T10:59:00Z", "2026-05-30T12:00:00Z"].map((at) => ago(at, now, "en"))).toEqual(["now", "40 sec. ago", "1 hr. ago", "2 days ago"]);
});
