/** What belongs together: alerts of one `group_key` are one row, the newest, and a line that says how many more there are. */
import { isUnread } from "@watchbell/client";
import type { ShownRow } from "./alert.ts";

export type Item =
  | { kind: "row"; key: string; row: ShownRow; isInside: boolean }
  /** Stands after the newest of its group. */
  | { kind: "group"; key: string; group: string; more: number; unread: number; from: string; worst: string; isOpen: boolean };

const SEVERITIES = ["info", "warning", "critical"];
export const rankOf = ({ alert }: ShownRow): number => SEVERITIES.indexOf(alert.severity);

const item = (row: ShownRow, isInside = false): Item => ({ kind: "row", key: row.alert.id, row, isInside });

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
  if (!groups.size) return rows.map((row) => item(row));
  const items: Item[] = [];
  for (const row of rows) {
    const key = row.alert.group_key ?? "";
    const together = groups.get(key);
    if (!together?.[1]) items.push(item(row));
    if (!together?.[1] || together[0] !== row) continue; // What is alone has no line, and what is not the newest is in it.
    const more = together.slice(1);
    const isOpen = open.has(key);
    items.push(item(row), {
      kind: "group", key: `group ${key}`, group: key, more: more.length, isOpen,
      unread: more.filter(({ state }) => isUnread(state)).length,
      from: row.alert.source ?? key,
      worst: SEVERITIES[Math.max(...more.map(rankOf))] ?? "info",
    });
    if (isOpen) for (const one of more) items.push(item(one, true));
  }
  return items;
}
