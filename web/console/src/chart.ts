/** Small charts: a line for each series, over the last hour. Drawn as SVG; the table beside each says the same in numbers. */
import { el, svg } from "./dom.ts";

export interface Line { name: string; points: readonly (number | null)[] }

const WIDTH = 300;
const HEIGHT = 64;
const FOOT = 2;
const SPAN_MIN_MS = 10 * 60_000;

/** The top of a chart: the least round number that nothing exceeds. */
export function topOf(values: readonly number[]): number {
  const most = Math.max(0, ...values);
  if (most === 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * unit).find((top) => top >= most) ?? most;
}

/** How far a chart goes back: as far as there are points, but at least ten minutes. */
export function spanOf(times: readonly number[]): number {
  const [first = 0, end = 0] = [times[0], times.at(-1)];
  return Math.max(end - first, SPAN_MIN_MS);
}

/**
 * The paths of one line, one for each stretch without a gap. `times` are in milliseconds; the last one is at the right edge.
 */
export function pathsOf(points: readonly (number | null)[], times: readonly number[], top: number): string[] {
  const [end, span] = [times.at(-1) ?? 0, spanOf(times)];
  const paths: string[] = [];
  let open = "";
  points.forEach((point, at) => {
    if (point === null) { if (open) paths.push(open); open = ""; return; }
    const x = WIDTH - ((end - (times[at] ?? end)) / span) * WIDTH;
    const y = HEIGHT - FOOT - (Math.max(0, point) / top) * (HEIGHT - 2 * FOOT);
    open += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  if (open) paths.push(open);
  // A stretch of one point would not be seen.
  return paths.map((path) => (path.includes("L") ? path : `${path}h0.1`));
}

/** The last point that there is. */
export const last = (points: readonly (number | null)[]): number | null => points.findLast((point) => point !== null) ?? null;

/** A figure with its chart. `show` writes a number as people read it. */
export function chart(title: string, unit: string, lines: Line[], times: readonly number[], show: (value: number) => string): HTMLElement {
  const known = lines.flatMap(({ points }) => points.filter((point) => point !== null));
  const now = lines.map(({ name, points }, at) => {
    const value = last(points);
    return el("div", { class: `now line-${at}` }, el("b", {}, value === null ? "–" : show(value)), lines.length > 1 ? el("span", {}, name) : null);
  });
  const figure = el("figure", { class: "chart" }, el("figcaption", {}, title, unit ? el("span", { class: "quiet" }, ` ${unit}`) : null), el("div", { class: "figures" }, now));
  if (known.length === 0) {
    figure.append(el("p", { class: "quiet" }, "This process has no such figure yet."));
    return figure;
  }
  const top = topOf(known);
  const label = `${title}: ${lines.map(({ name, points }) => `${name} ${show(last(points) ?? 0)}`).join(", ")}; at most ${show(Math.max(...known))} in the last hour`;
  const drawn = lines.flatMap(({ points }, at) => pathsOf(points, times, top).map((d) => svg("path", { d, class: `line-${at}` })));
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...drawn);
  figure.append(picture, el("div", { class: "axis quiet" }, el("span", {}, `${seconds(spanOf(times) / 1000)} ago`), el("span", {}, `0 to ${show(top)}`), el("span", {}, "now")));
  return figure;
}

/** A number in few characters: 1234 is 1.2 k. */
export function short(value: number): string {
  const [scaled, mark] = value >= 1e9 ? [value / 1e9, " G"] : value >= 1e6 ? [value / 1e6, " M"] : value >= 1e4 ? [value / 1e3, " k"] : [value, ""];
  const digits = scaled === 0 || scaled >= 100 ? 0 : scaled >= 1 ? 1 : 2;
  return `${Number(scaled.toFixed(digits))}${mark}`;
}

/** Seconds as people read them: 0.0042 is 4.2 ms. */
export function seconds(value: number): string {
  if (value === 0) return "0 s";
  if (value < 1) return `${Number((value * 1000).toFixed(value < 0.01 ? 1 : 0))} ms`;
  return value < 90 ? `${Number(value.toFixed(1))} s` : value < 5400 ? `${Math.round(value / 60)} min` : `${Number((value / 3600).toFixed(1))} h`;
}
