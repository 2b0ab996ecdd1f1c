import { describe, expect, it } from "vitest";
import { sideOf, spotOf } from "../src/place.ts";

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

  const size = { width: 400, height: 500 };
  it.each([
    ["in line with the end of the bell", { left: 900, right: 940, top: 10, bottom: 50 }, false, false, { left: 540, top: 58 }],
    ["in line with its start, from right to left", { left: 300, right: 340, top: 10, bottom: 50 }, false, true, { left: 300, top: 58 }],
    ["of a bell at the left", { left: 10, right: 50, top: 10, bottom: 50 }, false, false, { left: 8, top: 58 }],
    ["of a bell at the right, from right to left", { left: 950, right: 990, top: 10, bottom: 50 }, false, true, { left: 592, top: 58 }],
    ["above a bell at the bottom", { left: 900, right: 940, top: 750, bottom: 790 }, true, false, { left: 540, top: 242 }],
    ["of a bell that is scrolled out", { left: 900, right: 940, top: -500, bottom: -460 }, false, false, { left: 540, top: 8 }],
  ])("%s", (_why, bell, isAbove, isRtl, expected) => expect(spotOf(bell, size, isAbove, isRtl, 1_000, 800)).toEqual(expected));
});
