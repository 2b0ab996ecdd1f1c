/** What a key does in the open panel. Pure: who is focused is an argument. */

export type Command =
  | "close-menu" | "close-find" | "close-help" | "close" | "down" | "up" | "first" | "last" | "find" | "help"
  | "read" | "unread" | "dismiss" | "snooze" | "select";

export interface Where {
  /** In a field that takes text or has keys of its own. */
  inField: boolean;
  inSearch: boolean;
  inMenu: boolean;
  isHelpOpen: boolean;
}

type Key = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey"> & { isComposing?: boolean };

/** The letters work with Shift and Caps Lock as well. */
const COMMANDS: Record<string, Command> = {
  arrowdown: "down", arrowup: "up", home: "first", end: "last", "/": "find", "?": "help",
  r: "read", u: "unread", delete: "dismiss", backspace: "dismiss", s: "snooze", x: "select",
};

export function commandOf({ key, ctrlKey, metaKey, altKey, isComposing }: Key, { inField, inSearch, inMenu, isHelpOpen }: Where): Command | null {
  if (isComposing || ctrlKey || metaKey || altKey) return null;
  if (key === "Escape") return isHelpOpen ? "close-help" : inMenu ? "close-menu" : inSearch ? "close-find" : "close";
  const command = COMMANDS[key.toLowerCase()] ?? null;
  if (inField) return inSearch && command === "down" ? command : null;
  return command;
}
