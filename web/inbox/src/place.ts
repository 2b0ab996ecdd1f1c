/**
 * Where the open panel stands: within the window, wherever the page puts the bell.
 *
 * A browser with anchor positioning does it by the style sheet alone, as long as the bell is in view. Otherwise this is
 * loaded, and it is measured: the panel hangs under
 * the bell or, where there is more room, above it, is no higher than that room, and is moved where it would leave the window.
 * In a narrow window the style sheet makes it a sheet at the bottom. Where only a part of the page is in view, because the page is wider
 * than the screen or was enlarged, it is a sheet at the bottom of that part.
 */

/** What is left free between the panel and the bell, and between the panel and the edge of the window. */
const GAP_PX = 8;
/** With less room than this under the bell, the panel goes above it if that is more. */
const ROOM_BELOW_PX = 320;
/** It is never made lower than this. */
const HEIGHT_MIN_PX = 160;
/** As in styles.ts. */
const SHEET = "(max-width: 30rem)";
/** What a sheet has of the height at the most; as in styles.ts. */
const SHEET_SHARE = .85;

interface Box { left: number; right: number; top: number; bottom: number }

export function place(bell: Element, panel: HTMLElement): void {
  Object.assign(panel.style, { translate: "none", width: "", maxHeight: "" });
  if (matchMedia(SHEET).matches) return placeSheet(panel);
  const [width, height] = [document.documentElement.clientWidth, innerHeight];
  const at = bell.getBoundingClientRect();
  const { isAbove, room } = sideOf(at.top, at.bottom, height);
  panel.style.setProperty("--room", `${room}px`);
  const box = panel.getBoundingClientRect();
  const { left, top } = spotOf(at, box, isAbove, getComputedStyle(panel).direction === "rtl", width, height);
  // Moved from where it is, because in some headers what is fixed is not fixed to the window.
  panel.style.translate = `${left - box.left}px ${top - box.top}px`;
}

function placeSheet(panel: HTMLElement): void {
  const seen = visualViewport;
  if (!seen || Math.round(seen.width) >= innerWidth) return;
  Object.assign(panel.style, { width: `${seen.width}px`, maxHeight: `${seen.height * SHEET_SHARE}px` });
  const box = panel.getBoundingClientRect();
  panel.style.translate = `${seen.offsetLeft - box.left}px ${seen.offsetTop + seen.height - box.bottom}px`;
}

/** On which side of a bell between `top` and `bottom` there is room, and how much. */
export function sideOf(top: number, bottom: number, height: number): { isAbove: boolean; room: number } {
  const [above, below] = [top - 2 * GAP_PX, height - bottom - 2 * GAP_PX];
  const isAbove = below < ROOM_BELOW_PX && above > below;
  return { isAbove, room: Math.max(HEIGHT_MIN_PX, isAbove ? above : below) };
}

/** Where the panel's corner is: in line with the end of the bell, and within the window. */
export function spotOf(bell: Box, panel: { width: number; height: number }, isAbove: boolean, isRtl: boolean, width: number, height: number): { left: number; top: number } {
  const within = (at: number, size: number, room: number) => Math.max(GAP_PX, Math.min(at, room - GAP_PX - size));
  return {
    left: within(isRtl ? bell.left : bell.right - panel.width, panel.width, width),
    top: within(isAbove ? bell.top - GAP_PX - panel.height : bell.bottom + GAP_PX, panel.height, height),
  };
}
