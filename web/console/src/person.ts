/** One person: where they can be reached, what they want, and what they got and did not get, with the reasons. */
import { actButton, gravely } from "./acts.ts";
import { ask } from "./api.ts";
import { type Child, el, severityMark, table, time } from "./dom.ts";
import { address, type View } from "./view.ts";

interface Device { device: string; service: string; environment: string; registered_at: string }
interface Person {
  user: string; known: boolean; locale: string | null; time_zone: string | null; preferences: unknown; created_at: string | null; sessions_revoked_at: string | null;
  addresses: Record<string, { address: string; refused: boolean }>; groups: string[]; has_more_groups: boolean; devices: Device[]; counts: { unread: number; alerts: number; more_alerts: boolean };
}
interface Explained {
  obstacles: { what: string }[];
  alerts: { id: string; severity: string; title: string; came_at: string; state: string; what: string }[];
  left_out: { id: string; title: string; recorded_at: string; what: string }[];
  next: string | null;
}

const EXPLAINED_MS = 7 * 24 * 3_600_000;

export const person: View = {
  title: "Person",
  async draw(user) {
    const path = `/v1/users/${encodeURIComponent(user)}`;
    const since = new Date(Date.now() - EXPLAINED_MS).toISOString();
    const [who, explained] = await Promise.all([ask<Person>("GET", path), ask<Explained>("GET", `${path}/explain?since=${since}&limit=50`)]);
    const again = (): void => { window.dispatchEvent(new Event("hashchange")); };
    return el("div", { class: "stack" },
      el("section", { class: "panel" },
        el("h2", {}, user),
        who.known ? null : el("p", { class: "bad" }, "Nobody registered this name, and nobody opened a session with it."),
        el("p", { class: "meta" }, el("span", {}, `${who.counts.unread} unread of ${who.counts.alerts}${who.counts.more_alerts ? " and more" : ""}`),
          who.locale ? el("span", {}, `reads ${who.locale}`) : null, who.time_zone ? el("span", {}, who.time_zone) : null,
          who.created_at ? el("span", {}, "known since ", time(who.created_at)) : null,
          who.sessions_revoked_at ? el("span", {}, "sessions ended ", time(who.sessions_revoked_at)) : null),
        who.groups.length ? el("p", {}, `In ${who.groups.join(", ")}${who.has_more_groups ? " and more groups" : ""}.`) : null,
        el("div", { class: "buttons" },
          gravely("End sessions", user, "Every token that this person has by now is refused, open sessions close, and the devices that were registered with them are removed.", async () => { await ask("DELETE", `${path}/sessions`); return `The sessions of ${user} are ended.`; }, again),
          gravely("Erase", user, "Everything that is kept about this person is deleted: alerts, receipts, devices, addresses, wishes. It cannot be brought back.", async () => erased(await ask("DELETE", path)), again))),
      el("section", { class: "panel" }, el("h2", {}, "In the way of their alerts now"),
        explained.obstacles.length ? el("ul", { class: "plain" }, explained.obstacles.map(({ what }) => el("li", {}, what))) : el("p", { class: "quiet" }, "Nothing.")),
      el("section", { class: "panel" }, el("h2", {}, "What they got in the last 7 days, and why"), explainedOf(explained)),
      el("div", { class: "columns" },
        el("section", { class: "panel" }, el("h2", {}, "Devices"), devicesOf(path, who.devices, again)),
        el("section", { class: "panel" }, el("h2", {}, "Addresses"),
          table("Addresses", ["Channel", "Address", "Note"], Object.entries(who.addresses).map(([channel, { address: to, refused }]) => [channel, to, refused ? el("span", { class: "bad" }, "refused by the provider") : ""]), "None."))),
      el("section", { class: "panel" }, el("h2", {}, "Preferences"), who.preferences ? el("pre", { tabindex: 0 }, JSON.stringify(who.preferences, null, 2)) : el("p", { class: "quiet" }, "They chose nothing: the defaults hold.")));
  },
};

function explainedOf({ alerts, left_out, next }: Explained): HTMLElement {
  const rows: Child[][] = [
    ...alerts.map(({ id, severity, title, came_at, state, what }): Child[] => [time(came_at), severityMark(severity), el("a", { href: address("alert", id) }, title), state, what]),
    ...left_out.map(({ id, title, recorded_at, what }): Child[] => [time(recorded_at), "", el("a", { href: address("alert", id) }, title), "not theirs", what]),
  ];
  return el("div", {}, table("What they got", ["When", "Severity", "Alert", "State", "What became of it"], rows, "No alert came in this time."), next ? el("p", { class: "quiet" }, "The newest 50.") : null);
}

function devicesOf(path: string, devices: Device[], again: () => void): HTMLElement {
  const forget = (device: string): HTMLElement => actButton("Forget", async () => { await ask("DELETE", `${path}/devices/${encodeURIComponent(device)}`); return `${device} is forgotten.`; }, again);
  return table("Devices", ["Device", "Service", "Registered", "Act"], devices.map(({ device, service, environment, registered_at }) => [device, `${service}, ${environment}`, time(registered_at), forget(device)]), "None.");
}

function erased(receipt: unknown): string {
  const { complete, id } = receipt as { complete: boolean; id: string };
  return `Erased${complete ? "" : " in part: do it again for the rest"}. Receipt ${id}.`;
}
