import { describe, expect, it } from "vitest";
import { last, pathsOf, seconds, short, spanOf, topOf } from "../src/chart.ts";

const MINUTE = 60_000;

describe("a chart", () => {
  it("has a round top that nothing exceeds", () => {
    for (const [values, top] of [[[], 1], [[0], 1], [[0.03], 0.05], [[1], 1], [[7], 10], [[11, 3], 20], [[499], 500]] as const) {
      expect(topOf(values), String(values)).toBeCloseTo(top);
    }
  });

  it("goes back as far as there are points, but at least ten minutes", () => {
    expect(spanOf([])).toBe(10 * MINUTE);
    expect(spanOf([0, MINUTE])).toBe(10 * MINUTE);
    expect(spanOf([0, 60 * MINUTE])).toBe(60 * MINUTE);
  });

  it("is broken where there is no point, and shows one that is alone", () => {
    const times = [0, 5, 10, 15, 20].map((minutes) => minutes * MINUTE);
    expect(pathsOf([1, 0, null, 1, null], times, 1)).toEqual(["M0.0 2.0L75.0 62.0", "M225.0 2.0h0.1"]);
    expect(pathsOf([null, null, null, null, null], times, 1)).toEqual([]);
    expect(last([1, 2, null])).toBe(2);
    expect(last([null])).toBeNull();
  });

  it("writes numbers in few characters", () => {
    expect([0, 0.25, 3.14159, 250, 12_345, 78_000_000, 5e9].map(short)).toEqual(["0", "0.25", "3.1", "250", "12.3 k", "78 M", "5 G"]);
    expect([0, 0.0042, 0.25, 12.34, 600, 7200].map(seconds)).toEqual(["0 s", "4.2 ms", "250 ms", "12.3 s", "10 min", "2 h"]);
  });
});
