import { describe, expect, it } from "vitest";
import { addressOf, whyCards } from "../src/why.ts";

describe("why somebody did not get it", () => {
  it("is asked for the last hour", () => {
    const now = Date.parse("2026-11-30T12:00:00Z");
    expect(addressOf("team/ana", now)).toBe("/v1/users/team%2Fana/explain?since=2026-11-30T11:00:00.000Z&limit=20");
  });

  it("is shown by what is in the way, then by alerts that can be opened, then by those that left them out", () => {
    const came_at = "2026-11-30T11:30:00Z";
    const cards = whyCards({
      obstacles: [{ kind: "no_device", what: "push: the user has no device" }],
      alerts: [{ id: "disk", title: "Disk full", severity: "critical", came_at, what: "came · new" }],
      left_out: [{ id: "late", title: "Late", severity: "info", recorded_at: came_at, what: "it was for everyone" }],
    });
    expect(cards.map(({ key, look }) => [key, look])).toEqual([
      ["no_device 0", "why in-the-way"], ["alert disk", "why critical"], ["left out late", "why info"],
    ]);
    expect(cards.map(({ parts }) => parts[0]?.[3]?.["data-alert"])).toEqual([undefined, "disk", undefined]);
    expect(cards.map(({ parts }) => parts[1]?.[2])).toEqual(["push: the user has no device", "came · new", "it was for everyone"]);
  });
});
