/** API keys of all tenants: listed, made, revoked. A secret is shown once. */
import { carryOut, gravely } from "./acts.ts";
import { ask } from "./api.ts";
import { byId, type Child, el, table, time } from "./dom.ts";
import type { View } from "./view.ts";

export interface Key { id: string; tenant: string; name: string; scopes: string[]; own_alerts: boolean; state: string; created_at: string; last_used_at: string | null; expires_at: string | null }

const SCOPES = ["alerts", "events", "people", "read", "operations"];
const DAY_S = 86_400;

export const keys: View = {
  title: "Keys and tenants",
  async draw() {
    const { keys, tenants } = await ask<{ keys: Key[]; tenants: string[] }>("GET", "/keys");
    const again = (): void => { window.dispatchEvent(new Event("hashchange")); };
    const revoke = ({ id, name }: Key): HTMLElement => gravely("Revoke", name || id.slice(0, 12), "Whoever uses this key is refused within seconds. A key cannot be brought back.", async () => { await ask("DELETE", `/keys/${id}`); return `${name || id.slice(0, 12)} is revoked.`; }, again);
    const rows = keys.map((key): Child[] => [
      el("code", { title: key.id }, key.id.slice(0, 12)), key.tenant, key.name, `${key.scopes.join(", ")}${key.own_alerts ? "; its own alerts only" : ""}`,
      el("span", { class: `state ${key.state === "works" ? "ok" : "over"}` }, key.state), time(key.created_at), key.last_used_at ? time(key.last_used_at) : "never",
      key.expires_at ? time(key.expires_at) : "", key.state === "works" ? revoke(key) : null,
    ]);
    return el("div", { class: "stack" },
      el("section", { class: "panel" }, el("h2", {}, "Tenants"),
        el("p", {}, tenants.join(", "), "."), el("p", { class: "quiet" }, "Tenants that have a key, or a section in the configuration. A tenant begins with its first key.")),
      el("section", { class: "panel" }, el("h2", {}, "Make a key"), makeForm(tenants, again), el("p", { id: "made", class: "made", role: "status", hidden: true })),
      el("section", { class: "panel" }, el("h2", {}, "API keys"),
        table("API keys", ["Id", "Tenant", "Name", "Scopes", "State", "Made", "Last used", "Expires", "Act"], rows, "There are no keys.")));
  },
};

function makeForm(tenants: string[], again: () => void): HTMLElement {
  const form: HTMLFormElement = el("form", { class: "fields", submit: (event) => { event.preventDefault(); void carryOut(make).catch(() => {}); } },
    el("label", {}, "Tenant", el("input", { name: "tenant", required: true, list: "tenants", autocomplete: "off" }), el("datalist", { id: "tenants" }, tenants.map((name) => el("option", { value: name })))),
    el("label", {}, "Name", el("input", { name: "name", required: true, maxlength: 200, autocomplete: "off", placeholder: "who or what uses it" })),
    el("label", {}, "Ends after, in days", el("input", { name: "days", type: "number", min: 1, max: 3650, placeholder: "never" })),
    el("fieldset", {}, el("legend", {}, "Scopes"), SCOPES.map((scope) => el("label", { class: "check" }, el("input", { type: "checkbox", name: "scope", value: scope, checked: ["alerts", "events"].includes(scope) }), scope)),
      el("label", { class: "check" }, el("input", { type: "checkbox", name: "own" }), "its own alerts only")),
    el("button", { class: "main" }, "Make"));
  const make = async (): Promise<string> => {
    const fields = new FormData(form);
    const days = Number(fields.get("days") ?? 0);
    const { secret } = await ask<{ secret: string }>("POST", "/keys", {
      tenant: fields.get("tenant"), name: fields.get("name"), scopes: fields.getAll("scope"), own_alerts: fields.has("own"), expires_in_s: days ? days * DAY_S : null,
    });
    byId("made").replaceChildren("Keep it: only its hash is stored, and it is not shown again. ", el("code", { id: "secret" }, secret), " ", el("button", { type: "button", click: again }, "I have it"));
    byId("made").hidden = false;
    form.reset();
    return "The key is made.";
  };
  return form;
}
