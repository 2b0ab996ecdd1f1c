import { describe, expect, it } from "vitest";
import { shift, sideOf } from "../src/place.ts";

describe("where the panel stands", () => {
  it.each([
    ["a bell at the top", 10, 50, 800, false, 734],
    ["in the middle, with room below", 400, 440, 800, false, 344],
    ["at the bottom", 750, 790, 800, true, 734],
    ["in a low window, a little more room above", 150, 190, 300, true, 134],
    ["in a low window, a little more room below", 110, 150, 300, false, 134],
    ["scrolled out at the top", -500, -460, 800, false, 1_244],
    ["scrolled out at the bottom", 900, 940, 800, true, 884],
  ])("%s", (_why, top, bottom, height, isAbove, room) => {
    expect(sideOf(top, bottom, height)).toEqual({ isAbove, room: Math.max(160, room) });
  });

  it.each([
    ["it fits", 100, 500, 0],
    ["it hangs out at the left", -232, 168, 240],
    ["it hangs out at the right", 900, 1_300, -308],
    ["it is too long", 50, 1_150, -42],
  ])("%s", (_why, from, to, expected) => expect(shift(from, to, 1_000)).toBe(expected));
});
