/** The keyboard in the panel: carries out what keys.ts decides. */
import { isUnread } from "@watchbell/client";
import { openMenu } from "./dom.ts";
import { type Command, commandOf } from "./keys.ts";
import type { Panel } from "./panel.ts";

export function listenToKeys(panel: Panel): void {
  panel.host.panel.addEventListener("keydown", (event) => {
    const active = panel.host.shadowRoot?.activeElement ?? null;
    const menu = (active?.closest(".menu")?.previousElementSibling ?? null) as HTMLElement | null;
    const command = commandOf(event, {
      inField: active?.matches("input:not([type=checkbox]), select") ?? false, inSearch: active?.matches("[type=search]") ?? false,
      inMenu: menu !== null, isHelpOpen: panel.host.view.isHelp,
    });
    if (command && obey(panel, command, active, menu)) event.preventDefault();
  });
}

/** Whether the key did something. */
function obey(panel: Panel, command: Command, active: Element | null, menu: HTMLElement | null): boolean {
  const { host, list } = panel;
  const { view, acts } = host;
  const at = list.placeOf(active);
  switch (command) {
    case "close-menu": if (menu) openMenu(menu, false); return true;
    case "close-help": acts.control("help", true); return true;
    case "close-find": acts.control("find", true); return true;
    case "close":
      if (view.isSettings) acts.control("settings", true);
      else if (view.selected) acts.control("select", true);
      else if (host.isInline) return false;
      else host.toggle(false);
      return true;
    case "down": return list.focusAt(at + 1);
    case "up": return list.focusAt(at - 1);
    case "first": return list.focusAt(0);
    case "last": return list.focusAt(list.length - 1);
    case "find":
      if (view.isFinding) acts.screens?.findBar?.focus();
      else acts.control("find", true);
      return true;
    case "help": acts.control("help", true); return true;
    default: return obeyRow(panel, command, at, active);
  }
}

function obeyRow({ host, list }: Panel, command: Command, at: number, active: Element | null): boolean {
  const row = host.row(list.idAt(at) ?? "");
  if (!row) return false;
  if (command === "snooze") {
    const button = active?.closest("[data-key]")?.querySelector<HTMLElement>("[data-menu]");
    if (button) openMenu(button, true);
    return Boolean(button);
  }
  const changesNothing = (command === "read" && !isUnread(row.state)) || (command === "unread" && isUnread(row.state));
  if (!changesNothing) host.acts.act(command, row.alert.id);
  return true;
}
