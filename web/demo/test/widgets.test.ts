import { describe, expect, it } from "vitest";
import { KEPT, points, span } from "../src/widgets.ts";

describe("widgets", () => {
  it.each([
    ["nothing yet", [], ""],
    ["one, at the right", [7], "100.0,1.0"],
    ["the highest at the top, nothing at the bottom", [0, 10], "94.7,29.0 100.0,1.0"],
    ["only zeros", [0], "100.0,29.0"],
  ])("a line through figures: %s", (_why, values, expected) => {
    expect(points(values)).toBe(expected);
  });

  it("a full line begins at the left", () => {
    expect(points(Array.from({ length: KEPT }, () => 1)).startsWith("0.0,1.0 ")).toBe(true);
  });

  it.each([[-5, "0 s"], [59_999, "59 s"], [60_000, "1 min"], [3_600_000, "1 h"]])("%s ms are %s", (ms, text) => {
    expect(span(ms)).toBe(text);
  });
});
