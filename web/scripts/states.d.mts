export const STATES: { name: string; asked: string; size: number[] }[];
export const SHOTS: [name: string, width: number, height: number, asked: string][];
