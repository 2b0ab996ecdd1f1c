import { afterAll, beforeAll, expect, it } from "vitest";
import { CHOICES, type Choice, snoozeUntil } from "../src/snooze.ts";

const before = process.env["TZ"];
beforeAll(() => { process.env["TZ"] = "Europe/Warsaw"; });
afterAll(() => { process.env["TZ"] = before; });

it.each<[string, Choice, string, string]>([
  ["20 minutes", "20m", "2026-06-01T10:00:00Z", "2026-06-01T10:20:00Z"],
  ["an hour", "1h", "2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"],
  ["an hour, over the hour that is left out", "1h", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
  ["tomorrow at nine, on the clock of the zone", "tomorrow", "2026-06-01T10:00:00Z", "2026-06-02T07:00:00Z"],
  ["tomorrow, asked after midnight", "tomorrow", "2026-06-01T22:30:00Z", "2026-06-03T07:00:00Z"],
  ["tomorrow, over the change to summer time", "tomorrow", "2026-03-28T19:00:00Z", "2026-03-29T07:00:00Z"],
  ["tomorrow, over the change to winter time", "tomorrow", "2026-10-24T19:00:00Z", "2026-10-25T08:00:00Z"],
  ["tomorrow, at the end of a year", "tomorrow", "2026-12-31T12:00:00Z", "2027-01-01T08:00:00Z"],
  ["Monday, asked on a Wednesday", "monday", "2026-06-03T10:00:00Z", "2026-06-08T07:00:00Z"],
  ["Monday, asked on a Monday", "monday", "2026-06-01T10:00:00Z", "2026-06-08T07:00:00Z"],
  ["Monday, asked on a Sunday", "monday", "2026-06-07T10:00:00Z", "2026-06-08T07:00:00Z"],
])("a snooze for %s", (_why, choice, now, expected) => {
  expect(snoozeUntil(choice, new Date(now)).toISOString()).toBe(new Date(expected).toISOString());
});

it("ends in the future and within the server's bound, whatever is chosen", () => {
  for (let hour = 0; hour < 24 * 366; hour++) {
    const now = Date.UTC(2026, 0, 1, hour, 17);
    for (const choice of CHOICES) {
      const ms = snoozeUntil(choice, new Date(now)).getTime() - now;
      expect(ms > 0 && ms < 30 * 24 * 3_600_000, `${choice} at ${new Date(now).toISOString()}`).toBe(true);
    }
  }
});
