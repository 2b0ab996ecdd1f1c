/** What the page says comes next, in every state that an alert can be in, and how it shortens what happened. */
import { describe, expect, test } from "vitest";
import { type Told, entryCards, whatIsNext } from "../src/timeline.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");
const at = (seconds: number) => new Date(NOW + seconds * 1_000).toISOString();
/** As a server writes them. */
const id = "01a22d07-d470-7680-839b-5b3592cf1508";
const recorded = "recorded in the inbox; version 1 is shown";
const skipped = "no session anywhere: the first wait is skipped";
const begun = (channel: string) => `${channel} alert to ana-phone: attempt ${id} begun`;
const accepted = `push alert to ana-phone: accepted by the provider: ${id}`;
const done = (channel: string) => `${channel} step done; the next channel waits its turn`;
const digest = (seconds: number) => `held until ${at(seconds)}: it is told in one mail with others`;
const WEEK_S = 7 * 86_400;

const told = (notes: string[], more: Partial<Told> = {}): Told => ({ state: "new", stopped: null, due_at: null, entries: notes.map((what) => ({ at: at(-30), what })), ...more });

describe("what comes next", () => {
  test.each<[why: string, told: Told, expected: string, expiresAt?: string]>([
    ["nothing is known", told([]), ""],
    ["the first wait", told([recorded], { due_at: at(5) }), "push in 5 s unless seen"],
    ["part of a second counts", told([recorded], { due_at: at(4.2) }), "push in 5 s unless seen"],
    ["it is due, and nobody looked yet", told([recorded], { due_at: at(0) }), "push now"],
    ["a push is on its way", told([recorded, skipped, begun("push")], { due_at: at(30) }), "push under way"],
    ["a push that failed is tried again", told([recorded, begun("push"), "push alert to ana-phone: the provider is busy"], { due_at: at(12) }), "push in 12 s unless seen"],
    ["the push is done", told([recorded, begun("push"), accepted, done("push")], { due_at: at(14) }), "email in 14 s unless seen"],
    ["nobody had a phone", told([recorded, "push step skipped: no device"], { due_at: at(14) }), "email in 14 s unless seen"],
    ["minutes are told as minutes", told([recorded, done("push")], { due_at: at(300) }), "email in 5 min unless seen"],
    ["with what is left of them", told([recorded, done("push")], { due_at: at(299) }), "email in 4 min 59 s unless seen"],
    ["hours as hours", told([recorded], { due_at: at(3 * 3_600 + 60) }), "push in 3 h 1 min unless seen"],
    ["quiet hours hold the push", told([recorded, `deferred until ${at(7_200)}: these are the user's quiet hours`], { due_at: at(7_200) }), "push held for 2 h: these are the user's quiet hours"],
    ["and the mail after a push", told([recorded, done("push"), `deferred until ${at(7_200)}: these are the user's quiet hours`], { due_at: at(7_200) }), "email held for 2 h: these are the user's quiet hours"],
    ["quiet hours are over, and nobody looked yet", told([recorded, `deferred until ${at(-1)}: these are the user's quiet hours`], { due_at: at(-1) }), "push now"],
    ["a digest gathers", told([recorded, done("push"), digest(1)], { due_at: at(1) }), "email held for 1 s: it is told in one mail with others"],
    ["a mail of one is under way", told([recorded, done("push"), digest(-1), begun("email")], { due_at: at(60) }), "email under way"],
    // Once "email in 604773 s": the server then waits for the expiry.
    ["told alone by a digest", told([recorded, done("push"), digest(-1), `told by email, attempt ${id}: accepted by the provider`], { due_at: at(WEEK_S) }), "Every channel was used"],
    ["told in a digest of many", told([recorded, done("push"), digest(-1), `told in a digest mail, attempt ${id}: accepted by the provider`], { due_at: at(WEEK_S) }), "Every channel was used"],
    ["a digest that failed", told([recorded, done("push"), digest(-1), "not told by email: email step failed for good; it was the last"], { due_at: at(WEEK_S) }), "Every channel was used"],
    ["and when that ends", told([recorded, done("push"), done("email")], { due_at: at(WEEK_S) }), "Every channel was used; it expires in 7 d", at(WEEK_S)],
    ["a push in a summary", told([recorded, `held until ${at(-1)}: the user got enough pushes; it is told in one with others`, `told in a summary push, attempt ${id}: accepted by the provider`], { due_at: at(9) }), "email in 9 s unless seen"],
    ["it expires before its mail", told([recorded, done("push")], { due_at: at(9) }), "Nothing more is sent; it expires in 9 s", at(9)],
    ["a step before its expiry", told([recorded, done("push")], { due_at: at(9) }), "email in 9 s unless seen", at(10)],
    ["set aside", told([recorded, "set aside: it cannot be carried on"]), ""],
    ["seen", told([recorded, "seen by a window"], { state: "seen", stopped: "seen" }), "Over: seen"],
    ["expired", told([recorded, done("push")], { stopped: "expired" }), "Over: it expired"],
    ["no channel is left", told([recorded, done("push"), done("email")], { stopped: "exhausted" }), "Over: every channel was used"],
    ["snoozed", told([recorded, "escalation ended: snoozed; it begins anew when that is over"], { state: "snoozed", stopped: "snoozed", until: at(1_200) }), "Snoozed: it comes back in 20 min"],
    ["after a snooze it begins anew", told([recorded, done("push"), done("email"), "escalation ended: snoozed; it begins anew when that is over", "new again"], { due_at: at(5) }), "push in 5 s unless seen"],
    ["stopped wins over what is due", told([recorded], { stopped: "resolved", due_at: at(5) }), "Over: resolved"],
  ])("%s", (_, told, expected, expiresAt) => expect(whatIsNext(told, NOW, expiresAt)).toBe(expected));
});

describe("what happened", () => {
  const cards = (...notes: string[]) => entryCards(notes.map((what, nth) => ({ at: at(nth), what })));
  test.each([
    [begun("push"), "push alert to ana-phone begun", "push"],
    [accepted, "push alert to ana-phone: accepted by the provider", "push"],
    ["push alert to ben-phone: accepted by the provider: projects/p/messages/01a22d07d5ea", "push alert to ben-phone: accepted by the provider", "push"],
    [`email alert: accepted by the provider: 2.0.0 Queued as ${id}`, "email alert: accepted by the provider", "email"],
    [`told by email, attempt ${id}: accepted by the provider`, "told by email: accepted by the provider", "email"],
    [`told in a digest mail, attempt ${id}: accepted by the provider`, "told in a digest mail: accepted by the provider", "email"],
    ["seen, last by 0123456789abcdef0123456789abcdef", "seen, by a window", "seen"],
    [recorded, recorded, "other"],
  ])("%s", (what, text, kind) => {
    const [card] = cards(what);
    expect(card?.look).toBe(`entry did-${kind}`);
    expect(card?.parts).toEqual([["span", "more", "+0.0 s"], ["span", "", text, { title: what }]]);
  });

  test("times count from the first", () => {
    expect(cards("a", "b", "c").map(({ parts }) => parts[0]?.[2])).toEqual(["+0.0 s", "+1.0 s", "+2.0 s"]);
  });
});
