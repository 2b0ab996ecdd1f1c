/**
 * What is said where the alerts would be, or above them: why nothing comes, what is awaited, or that there is nothing.
 * Each has its own words and, where the person can do something, one button.
 */
import type { Snapshot } from "@watchbell/client";
import type { Words } from "./words.ts";

/** Why nothing comes. */
export type Trouble = NonNullable<Snapshot["reason"]>;
export type Standing = Trouble | "loading" | "empty" | "empty-unread" | "empty-archived" | "nothing-found";
export type Remedy = "sign-in" | "retry" | "show-all" | "clear";

export type Tab = "all" | "unread" | "archived";

/** What the list shows. */
export interface Looked { rows: number; tab: Tab; isFiltered: boolean; isLoading: boolean }

/** What to say, if anything. Trouble is said also above alerts, the rest in their place only. */
export function standingOf(now: Snapshot | null, { rows, tab, isFiltered, isLoading }: Looked): Standing | null {
  // A session that was not begun, or was ended, has nothing that is wrong.
  const trouble = !now || now.status === "idle" ? "signed-out" : now.reason;
  if (trouble) return trouble;
  if (rows > 0) return null;
  if (isLoading || !now?.loaded) return "loading";
  if (isFiltered) return "nothing-found";
  return tab === "all" ? "empty" : `empty-${tab}`;
}

const REMEDIES: Partial<Record<Standing, Remedy>> = {
  "signed-out": "sign-in", origin: "retry", refused: "retry", "gave-up": "retry", unreachable: "retry", blocked: "retry",
  "nothing-found": "clear", "empty-unread": "show-all",
};

export function remedyOf(standing: Standing): Remedy | undefined {
  return REMEDIES[standing];
}

/** Its words in the dictionary. */
export function wordOf(standing: Standing): keyof Words {
  return `at-${standing}`;
}
