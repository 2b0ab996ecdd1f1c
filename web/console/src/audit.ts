/** Who changed what in the tenant that is looked at, the newest first. */
import { ask, Refused } from "./api.ts";
import { type Child, el, table, time } from "./dom.ts";
import type { Key } from "./keys.ts";
import type { View } from "./view.ts";

interface Entry { at: string; actor: string; action: string; object: string; outcome: string }

export const audit: View = {
  title: "Audit log",
  async draw() {
    const [{ entries, next }, keys] = await Promise.all([ask<{ entries: Entry[]; next: string | null }>("GET", "/v1/audit?limit=100"), keysThatMayBeSeen()]);
    const names = new Map(keys.map(({ id, name }) => [`key:${id}`, name]));
    const who = (actor: string): Child => (names.get(actor) ? el("span", { title: actor }, `${names.get(actor)} (key)`) : actor);
    const rows = entries.map(({ at, actor, action, object, outcome }): Child[] => [time(at), who(actor), action, named(object, names), outcome]);
    return el("section", { class: "panel" }, el("h2", {}, "Audit log"),
      el("p", { class: "quiet" }, "A key is shown by its name. Entries of all tenants: ", el("code", {}, "watchbell audit"), "."),
      table("Audit log", ["When", "Who", "What", "To", "Outcome"], rows, "Nothing was changed."), next ? el("p", { class: "quiet" }, "The newest 100.") : null);
  },
};

/** Keys are of the whole installation: whoever is let in for one tenant sees their ids. */
const keysThatMayBeSeen = async (): Promise<Key[]> => {
  try {
    return (await ask<{ keys: Key[] }>("GET", "/keys")).keys;
  } catch (error) {
    if (error instanceof Refused && error.status === 403) return [];
    throw error;
  }
};

const named = (object: string, names: Map<string, string>): Child =>
  object.startsWith("key:") ? el("span", { title: object }, `key ${names.get(object) || object.slice(4, 16)}`) : object;
