/** What belongs together: alerts of one `group_key` are one row, the newest, and a line that says how many more there are. */
import { isUnread } from "@watchbell/client";
import type { ShownRow } from "./alert.ts";

export type Item =
  | { kind: "row"; key: string; row: ShownRow; isInside: boolean }
  /** Stands after the newest of its group. */
  | { kind: "group"; key: string; group: string; more: number; unread: number; from: string; worst: string; isOpen: boolean };

const SEVERITIES = ["info", "warning", "critical"];
export const rankOf = ({ alert }: ShownRow): number => SEVERITIES.indexOf(alert.severity);

/** `rows`, newest first, as what is shown; the groups in `open` with all that is in them. */
export function grouped(rows: readonly ShownRow[], open: ReadonlySet<string>): Item[] {
  const groups = new Map<string, ShownRow[]>();
  for (const row of rows) {
    const { group_key: key } = row.alert;
    if (!key) continue;
    const together = groups.get(key);
    if (together) together.push(row);
    else groups.set(key, [row]);
  }
  const told = new Set<string>();
  return rows.flatMap((row): Item[] => {
    const key = row.alert.group_key ?? "";
    const [first, ...more] = groups.get(key) ?? [];
    const item = (row: ShownRow, isInside: boolean): Item => ({ kind: "row", key: row.alert.id, row, isInside });
    if (!first || !more.length) return [item(row, false)];
    if (told.has(key)) return [];
    told.add(key);
    const isOpen = open.has(key);
    const line: Item = {
      kind: "group", key: `group ${key}`, group: key, more: more.length, isOpen,
      unread: more.filter(({ state }) => isUnread(state)).length,
      from: first.alert.source ?? key,
      worst: SEVERITIES[Math.max(...more.map(rankOf))] ?? "info",
    };
    return [item(first, false), line, ...(isOpen ? more.map((row) => item(row, true)) : [])];
  });
}
