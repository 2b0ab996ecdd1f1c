/** Finds all that is unread, also what was not paged in. */
import { type Page, type PageStart, type Row, isUnread } from "./protocol.ts";

/** Pages that are looked through at the most. */
const PAGES_MAX = 100;

/** The names of what is unread: of the rows that are here, and of older pages until so many were found as the badge says. */
export async function unreadNames(rows: readonly Row[], before: PageStart | null, badge: number, ask: (before: PageStart) => Promise<Page>): Promise<string[]> {
  const unread = new Set<string>();
  const look = (some: readonly Row[]) => { for (const { state, alert } of some) if (isUnread(state)) unread.add(alert.id); };
  look(rows);
  for (let pages = 0; before !== null && pages < PAGES_MAX && unread.size < badge; pages++) {
    const page = await ask(before);
    look(page.alerts);
    before = page.next_before;
  }
  return [...unread];
}
