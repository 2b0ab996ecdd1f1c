/** The pictures, drawn as lines on a square of 24. */

const LINES = {
  bell: "M18 9a6 6 0 0 0-12 0c0 6-2.5 7.5-2.5 7.5h17S18 15 18 9ZM10 20a2.2 2.2 0 0 0 4 0",
  read: "m4 12.5 5.5 5.5L20 6.5",
  unread: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
  dismiss: "M4 5h16v4H4zM6 9v10h12V9M10 13h4",
  snooze: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 8v4l3 2",
  restore: "M8 6 4 10l4 4M4 10h10a5 5 0 0 1 0 10h-3",
  find: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 20 20",
  select: "M4 4h16v16H4zM8 12l3 3 5-6",
  readAll: "m2 12.5 5 5 8-10M12 17.5 22 7.5",
  settings: "M4 8h9M17 8h3M15 6v4M4 16h3M11 16h9M9 14v4",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 18v.01",
  close: "m6 6 12 12M18 6 6 18",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 11v5M12 8v.01",
  warning: "M12 4 3 19h18zM12 10v4M12 16.5v.01",
  critical: "M8.5 3h7L21 8.5v7L15.5 21h-7L3 15.5v-7zM12 8v5M12 16v.01",
};
export type Icon = keyof typeof LINES;

const made = new Map<Icon, SVGSVGElement>();

/** A copy: each is made once. */
export function icon(name: Icon): SVGSVGElement {
  const one = made.get(name) ?? drawn(name);
  made.set(name, one);
  return one.cloneNode(true) as SVGSVGElement;
}

function drawn(name: Icon): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(space, "path");
  shape.setAttribute("d", LINES[name]);
  svg.append(shape);
  return svg;
}
