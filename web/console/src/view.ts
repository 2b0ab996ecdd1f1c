/** What a page of the console is. */

export interface View {
  title: string;
  /** Drawn anew so often; absent: only when it is asked for. */
  everyMs?: number;
  /** The page for what stands behind its name in the address. */
  draw(rest: string): Promise<HTMLElement>;
}

/** The address of a page, such as `#person/ana`. */
export const address = (view: string, rest = ""): string => `#${view}${rest ? `/${encodeURIComponent(rest)}` : ""}`;
