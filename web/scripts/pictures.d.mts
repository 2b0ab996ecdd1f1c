export const BLOCK_PX: number;
export const SHARE_MAX: number;
/** A picture made small: its size in blocks, and red, green, blue and opacity of each. */
export interface Small { width: number; height: number; data: ArrayLike<number> }
export function madeSmall(picture: { type: string; base64: string; block: number }): Promise<Small>;
export function difference(one: Small, other: Small): number;
