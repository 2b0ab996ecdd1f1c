import { expect, it } from "vitest";
import { isWithin } from "../src/settings.ts";
import { LANGUAGES, ago, fill, wordsFor } from "../src/words.ts";

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

it("every language says everything, with the same places for values", () => {
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  const en = wordsFor("en");
  for (const words of Object.values(LANGUAGES)) {
    for (const key of Object.keys(en) as (keyof typeof en)[]) expect(places(words[key])).toEqual(places(en[key]));
  }
  expect(wordsFor("de-AT")).toBe(LANGUAGES["de"]);
  expect(wordsFor("tlh")).toBe(en);
  expect(fill(en.more, { n: 2 })).toBe("and 2 more");
});

it("an age is in the largest unit that fits", () => {
  const now = Date.parse("2026-06-01T12:00:00Z");
  expect(["2026-06-01T11:59:58Z", "2026-06-01T11:59:20Z", "2026-06-01T10:59:00Z", "2026-05-30T12:00:00Z"].map((at) => ago(at, now, "en"))).toEqual(["now", "40 sec. ago", "1 hr. ago", "2 days ago"]);
});
