/**
 * Where the open panel stands: within the window, wherever the page puts the bell.
 *
 * The style sheet hangs it under the bell. Here it is measured: it goes above the bell where there is more room, is no
 * higher than that room, and is moved sideways where it would leave the window.
 */

/** What is left free between the panel and the bell, and between the panel and the edge of the window. */
const GAP_PX = 8;
/** With less room than this under the bell, the panel goes above it if that is more. */
const ROOM_BELOW_PX = 320;
/** It is never made lower than this. */
const HEIGHT_MIN_PX = 160;

export function place(bell: Element, panel: HTMLElement): void {
  const [width, height] = [document.documentElement.clientWidth, innerHeight];
  const { top, bottom } = bell.getBoundingClientRect();
  const { isAbove, room } = sideOf(top, bottom, height);
  panel.classList.toggle("above", isAbove);
  panel.style.setProperty("--room", `${room}px`);
  panel.style.translate = "none";
  const box = panel.getBoundingClientRect();
  panel.style.translate = `${shift(box.left, box.right, width)}px ${shift(box.top, box.bottom, height)}px`;
}

/** On which side of a bell between `top` and `bottom` there is room, and how much. */
export function sideOf(top: number, bottom: number, height: number): { isAbove: boolean; room: number } {
  const [above, below] = [top - 2 * GAP_PX, height - bottom - 2 * GAP_PX];
  const isAbove = below < ROOM_BELOW_PX && above > below;
  return { isAbove, room: Math.max(HEIGHT_MIN_PX, isAbove ? above : below) };
}

/** By how much to move what reaches from `from` to `to`, so that `size` holds it. What is too long begins at the start. */
export function shift(from: number, to: number, size: number): number {
  return Math.max(GAP_PX - from, Math.min(0, size - GAP_PX - to));
}
