/** What is decided of rows without drawing them: groups, toasts, what is said, what is found, what is undone, what a key means. */
import { describe, expect, it } from "vitest";
import type { InboxState, Snapshot } from "@watchbell/client";
import { type ShownAlert, type ShownRow, actionsOf, imageAddress } from "../src/alert.ts";
import { type Question, matches, queryOf } from "../src/finding.ts";
import { grouped } from "../src/groups.ts";
import { type Where, commandOf } from "../src/keys.ts";
import { choose, digestAs, isWanted, quietAs, shownChannels } from "../src/preferences.ts";
import type { Digest, Preferences } from "../src/settings.ts";
import { type Looked, remedyOf, standingOf } from "../src/standing.ts";
import { isOver, shownOf } from "../src/toasts.ts";
import { canUndo, receiptsBack, undoOf } from "../src/undo.ts";

const row = (id: string, more: Partial<ShownAlert> = {}, state: InboxState = "new"): ShownRow => ({
  seq: 1, state, alert: { id, version: 1, severity: "info", status: "firing", title: id, occurred_at: "2026-06-01T12:00:00Z", ...more },
});

describe("groups", () => {
  const look = (rows: ShownRow[], open: string[] = []) => grouped(rows, new Set(open)).map((item) => (item.kind === "row" ? (item.isInside ? `  ${item.key}` : item.key) : `+${item.more} from ${item.from}, ${item.unread} unread, ${item.worst}`));
  const of = (key: string, more: Partial<ShownAlert> = {}) => ({ group_key: key, ...more });
  const rows = [
    row("new", of("shop", { source: "checkout" })), row("alone"), row("worse", of("shop", { severity: "critical" }), "seen"), row("other", of("one")), row("old", of("shop"), "read"),
  ];
  it("are the newest, and a line for the rest, in the place of the newest", () => {
    expect(look(rows)).toEqual(["new", "+2 from checkout, 1 unread, critical", "alone", "other"]);
  });
  it("show what is in them when they are opened", () => {
    expect(look(rows, ["shop"])).toEqual(["new", "+2 from checkout, 1 unread, critical", "  worse", "  old", "alone", "other"]);
  });
  it("without a source are named by their key; a group of one is a row", () => {
    expect(look([row("a", of("build 7")), row("b", of("build 7")), row("c", of("x"))])).toEqual(["a", "+1 from build 7, 1 unread, info", "c"]);
  });
});

describe("toasts", () => {
  it("are the worst first, of these the newest, and three", () => {
    const rows = [row("1"), row("2", { severity: "critical" }), row("3", { severity: "warning" }), row("4", { severity: "critical" }), row("5")];
    const { shown, rest } = shownOf(rows);
    expect([shown.map(({ alert }) => alert.id), rest]).toEqual([["4", "2", "3"], 2]);
  });
  it.each<[string, InboxState, Partial<ShownAlert>, boolean, boolean]>([
    ["new", "new", {}, false, false],
    ["seen by its own toast", "seen", {}, true, false],
    ["seen elsewhere", "seen", {}, false, true],
    ["read", "read", {}, true, true],
    ["snoozed", "snoozed", {}, true, true],
    ["dismissed", "dismissed", {}, true, true],
    ["resolved", "new", { status: "resolved" }, false, true],
  ])("an alert that is %s", (_why, state, more, isSeenHere, expected) => expect(isOver(row("a", more, state), isSeenHere)).toBe(expected));
});

describe("what is said where the alerts would be", () => {
  const now: Snapshot = { status: "live", transport: "ws", ended: null, user: "ana", unread: 0, waiting: 0, alerts: [], loaded: true, hasMore: false, leads: true, reason: null };
  it.each<[string, Partial<Snapshot>, Partial<Looked>, string | null, string | undefined]>([
    ["nothing there", {}, {}, "empty", undefined],
    ["nothing unread", {}, { tab: "unread" }, "empty-unread", "show-all"],
    ["nothing archived", {}, { tab: "archived" }, "empty-archived", undefined],
    ["nothing found", {}, { isFiltered: true }, "nothing-found", "clear"],
    ["a search that is under way", {}, { isFiltered: true, isLoading: true }, "loading", undefined],
    ["not loaded yet", { loaded: false }, {}, "loading", undefined],
    ["alerts", {}, { rows: 3 }, null, undefined],
    ["reconnecting, with alerts", { status: "reconnecting" }, { rows: 3 }, null, undefined],
    ["never begun", { status: "idle" }, {}, "signed-out", "sign-in"],
    ["signed out, above what was there", { status: "closed", reason: "signed-out" }, { rows: 3 }, "signed-out", "sign-in"],
    ["a page that may not connect", { status: "closed", reason: "origin" }, {}, "origin", "retry"],
    ["refused", { status: "closed", reason: "refused" }, {}, "refused", "retry"],
    ["given up", { status: "closed", reason: "gave-up" }, {}, "gave-up", "retry"],
    ["no network", { status: "offline", reason: "offline" }, {}, "offline", undefined],
    ["no answer", { status: "offline", reason: "unreachable" }, {}, "unreachable", "retry"],
    ["another answers", { status: "reconnecting", reason: "blocked" }, {}, "blocked", "retry"],
  ])("%s", (_why, snapshot, looked, expected, remedy) => {
    const at = standingOf({ ...now, ...snapshot }, { rows: 0, tab: "all", isFiltered: false, isLoading: false, ...looked });
    expect([at, at ? remedyOf(at) : undefined]).toEqual([expected, remedy]);
  });
});

describe("finding", () => {
  const all: Question = { tab: "all", q: "", severity: "", category: "", label: "" };
  const one = row("a", { title: "Café checkout", body: "answers 503, slowly", source: "shop", category: "availability", severity: "warning", labels: { host: "db-1", url: "a:b" } });
  it.each<[string, Partial<Question>, boolean]>([
    ["nothing asked", {}, true],
    ["the beginning of a word", { q: "check" }, true],
    ["the middle of a word", { q: "heck" }, false],
    ["other case and accents", { q: "CAFE" }, true],
    ["several words, in any order and place", { q: "503 shop café" }, true],
    ["one that is not there", { q: "checkout paris" }, false],
    ["words with marks between", { q: "checkout, answers" }, true],
    ["its severity", { severity: "warning" }, true],
    ["another severity", { severity: "critical" }, false],
    ["its category", { category: "availability" }, true],
    ["another category", { category: "deploys" }, false],
    ["its label", { label: "host:db-1" }, true],
    ["another label", { label: "host:db-2" }, false],
    ["a label whose value has a colon", { label: "url:a:b" }, true],
    ["unread", { tab: "unread" }, true],
    ["archived", { tab: "archived" }, false],
  ])("%s", (_why, question, expected) => expect(matches(one, { ...all, ...question })).toBe(expected));
  it.each<[InboxState, Question["tab"], boolean]>([
    ["dismissed", "archived", true], ["dismissed", "all", false], ["snoozed", "all", false], ["read", "all", true], ["read", "unread", false], ["seen", "unread", true],
  ])("%s is in %s: %s", (state, tab, expected) => expect(matches(row("a", {}, state), { ...all, tab })).toBe(expected));
  it("is asked of the server in its words", () => {
    expect(queryOf(all, null)).toBe("state=open&limit=50");
    expect(queryOf({ tab: "archived", q: " a b ", severity: "critical", category: "x", label: "host:db-1" }, 7)).toBe("q=a+b&state=archived&severity=critical&category=x&label=host%3Adb-1&before=7&limit=50");
    expect(queryOf({ ...all, label: "half" }, null)).toBe("state=open&limit=50");
  });
});

describe("undo", () => {
  it("brings each row back to where it was, with as few receipts as that takes", () => {
    const rows = [row("a"), row("b", {}, "seen"), row("c", {}, "read"), row("d", {}, "read"), { ...row("e", {}, "snoozed"), until: "2026-06-02T09:00:00Z" }];
    expect(receiptsBack(undoOf(rows, "dismissed", 0))).toEqual([
      { ids: ["a", "b", "c", "d", "e"], state: "unread" }, { ids: ["c", "d"], state: "read", until: undefined }, { ids: ["e"], state: "snoozed", until: "2026-06-02T09:00:00Z" },
    ]);
  });
  it.each([["just now", 0, true], ["within six seconds", 5_999, true], ["after them", 6_000, false], ["with a clock that was set back", -60_000, false]])("%s", (_why, at, expected) => {
    expect(canUndo(undoOf([row("a")], "read", 0), at)).toBe(expected);
  });
});

describe("keys", () => {
  const list: Where = { inField: false, inSearch: false, inMenu: false, isHelpOpen: false };
  const key = (name: string, more: object = {}) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...more });
  it.each<[string, string, Partial<Where>, object, string | null]>([
    ["down", "ArrowDown", {}, {}, "down"], ["up", "ArrowUp", {}, {}, "up"], ["first", "Home", {}, {}, "first"], ["last", "End", {}, {}, "last"],
    ["search", "/", {}, {}, "find"], ["help", "?", {}, {}, "help"], ["read", "r", {}, {}, "read"], ["with Caps Lock", "R", {}, {}, "read"], ["with Shift", "U", {}, { shiftKey: true }, "unread"],
    ["dismiss", "Delete", {}, {}, "dismiss"], ["a Mac's", "Backspace", {}, {}, "dismiss"], ["choose", "x", {}, {}, "select"], ["snooze", "S", {}, {}, "snooze"],
    ["reload is the browser's", "r", {}, { ctrlKey: true }, null], ["and so is copying", "u", {}, { metaKey: true }, null],
    ["a letter in a field", "r", { inField: true }, {}, null], ["a slash in a field", "/", { inField: true, inSearch: true }, {}, null], ["End in a field", "End", { inField: true }, {}, null],
    ["from the search to what was found", "ArrowDown", { inField: true, inSearch: true }, {}, "down"], ["in a choice", "ArrowDown", { inField: true }, {}, null],
    ["while a word is composed", "Enter", { inField: true }, { isComposing: true }, null],
    ["out of a menu", "Escape", { inMenu: true }, {}, "close-menu"], ["out of the search", "Escape", { inField: true, inSearch: true }, {}, "close-find"],
    ["out of the help", "Escape", { isHelpOpen: true }, {}, "close-help"], ["out of the panel", "Escape", {}, {}, "close"], ["nothing", "q", {}, {}, null],
  ])("%s", (_why, name, where, more, expected) => expect(commandOf(key(name, more), { ...list, ...where })).toBe(expected));
});

describe("what an alert may have", () => {
  it("buttons are named and lead to the web or have an answer, and are three", () => {
    const actions = [
      { id: "a", title: "Yes", answer: "yes" }, { id: "b", title: "See", url: "https://a.example" }, { id: "c", title: "Bad", url: "javascript:alert(1)" },
      { id: "d", title: "", answer: "x" }, { id: "e", title: "Neither" }, { id: "f", title: "F", answer: "f" }, { id: "g", title: "G", answer: "g" },
    ];
    expect(actionsOf(row("a", { actions }).alert).map(({ id }) => id)).toEqual(["a", "b", "f"]);
    expect(actionsOf(row("a", { actions: "none" as never }).alert)).toEqual([]);
  });
  it("pictures come over https only", () => {
    expect(["https://a.example/x.png", "http://a.example/x.png", "javascript:1", "data:image/png;base64,AA", "https://", undefined].map((image) => imageAddress(row("a", image === undefined ? {} : { image }).alert))).toEqual(["https://a.example/x.png", undefined, undefined, undefined, undefined, undefined]);
  });
});

describe("preferences", () => {
  const now = { channels: { email: false }, categories: { news: { push: false, email: true } }, quiet: { until: "2026-06-01T10:00:00Z" } };
  it.each<[string | null, "push" | "email" | "slack", boolean]>([[null, "push", true], [null, "email", false], ["news", "push", false], ["news", "email", true], ["deploys", "email", false], ["deploys", "slack", true]])("%s by %s: %s", (category, channel, expected) => {
    expect(isWanted(now, category, channel)).toBe(expected);
  });
  it("a choice changes nothing else", () => {
    expect(choose(now, "news", "push", true)).toEqual({ ...now, categories: { news: { push: true, email: true } } });
    expect(choose(now, null, "slack", false)).toEqual({ ...now, channels: { email: false, slack: false } });
    expect(quietAs(now, { zone: "UTC", windows: [] })).toEqual({ ...now, quiet: { until: "2026-06-01T10:00:00Z", zone: "UTC", windows: [] } });
  });
  it.each<[string, Preferences, Digest, Preferences]>([
    ["on the browser's clock", {}, { every: "day" }, { digest: { every: "day" }, quiet: { zone: "Asia/Tokyo" } }],
    ["on the clock they chose", { quiet: { zone: "UTC" } }, { every: "hour" }, { digest: { every: "hour" }, quiet: { zone: "UTC" } }],
    ["at another time", { digest: { every: "day", at: "08:00" }, quiet: { zone: "UTC" } }, { at: "18:30" }, { digest: { every: "day", at: "18:30" }, quiet: { zone: "UTC" } }],
    ["as the server has it", { digest: { every: "day", at: "18:30" }, quiet: { zone: "UTC" } }, { every: null }, { digest: { every: null, at: "18:30" }, quiet: { zone: "UTC" } }],
  ])("mails come %s", (_why, now, change, expected) => expect(digestAs(now, change, "Asia/Tokyo")).toEqual(expected));
  it("shows push and mail, what is in use, and all when asked", () => {
    expect([shownChannels({}, false), shownChannels({ categories: { a: { slack: false } } }, false), shownChannels({}, true).length]).toEqual([["push", "email"], ["push", "email", "slack"], 6]);
  });
});
