/**
 * Whether two pictures show the same. Both are made small first, so that how a machine draws the edges of letters does not count, and
 * what is somewhere else, of another colour or not there does.
 */

/** The side of a block, in pixels of the picture. A block is one colour. */
export const BLOCK_PX = 8;
/** Two blocks differ from here on, in any of red, green and blue (of 255). */
const DIFFERS_FROM = 24;
/** The share of blocks that may differ. */
export const SHARE_MAX = 0.0015;

/** A picture made small: its size in blocks, and red, green, blue and opacity of each. */
/** @typedef {{ width: number, height: number, data: ArrayLike<number> }} Small */

/** Makes a picture small. Runs in a page, which can read pictures; so it uses nothing from here. */
export async function madeSmall({ type, base64, block }) {
  const picture = await createImageBitmap(await (await fetch(`data:${type};base64,${base64}`)).blob());
  const [width, height] = [picture.width, picture.height].map((side) => Math.ceil(side / block));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return { width, height, data: [...context.getImageData(0, 0, width, height).data] };
}

/** The share of blocks that differ, from 0 to 1; 1 where the sizes do. */
export function difference(/** @type {Small} */ one, /** @type {Small} */ other) {
  if (one.width !== other.width || one.height !== other.height) return 1;
  const blocks = one.width * one.height;
  let differ = 0;
  for (let at = 0; at < blocks * 4; at += 4) {
    if ([0, 1, 2].some((channel) => Math.abs((one.data[at + channel] ?? 0) - (other.data[at + channel] ?? 0)) >= DIFFERS_FROM)) differ += 1;
  }
  return differ / blocks;
}
