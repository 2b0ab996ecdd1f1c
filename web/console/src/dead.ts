/** Dead letters: what was delivered too often, or cannot be carried on. There is one queue of them for all tenants. */
import { actButton, gravely } from "./acts.ts";
import { ask } from "./api.ts";
import { type Child, el, table } from "./dom.ts";
import type { View } from "./view.ts";

interface Letter { id: string; mark: string; from: string; reason: string; bytes: number; headers: Record<string, string>; body: string | null }
interface Listed { total: number; letters: Letter[]; more: boolean }
interface Done { acted: number; skipped: number; named: { letter: string; why: string }[]; failed: string | null; missing: string[] }

const LISTED = 200;

/** A letter's id, or where that is missing or cannot be typed, the mark of its content. */
const nameOf = ({ id, mark }: Letter): string => (/^[!-~]{1,200}$/.test(id) ? id : mark);

export const dead: View = {
  title: "Dead letters",
  async draw() {
    const { total, letters } = await ask<Listed>("GET", `/dead?limit=${LISTED}`);
    const again = (): void => { window.dispatchEvent(new Event("hashchange")); };
    const act = (action: "replay" | "drop", ids: string[] | null) => async (): Promise<string> => saidOf(action, await ask<Done>("POST", "/dead", { action, ids }));
    const rows = letters.map((letter): Child[] => [
      el("code", {}, nameOf(letter)), letter.from, letter.reason, `${letter.bytes} bytes`,
      el("div", { class: "buttons" }, actButton("Replay", act("replay", [nameOf(letter)]), again), showButton(nameOf(letter)),
        gravely("Drop", "drop", `The letter ${nameOf(letter)} is deleted for good.`, act("drop", [nameOf(letter)]), again)),
    ]);
    return el("section", { class: "panel" }, el("h2", {}, `Dead letters: ${total}`),
      el("p", { class: "quiet" }, "A letter that is replayed goes back to the queue that it came from, as its producer sent it. Mend the cause first."),
      total > 1 ? el("div", { class: "buttons" }, actButton(`Replay all ${total}`, act("replay", null), again)) : null,
      table("Dead letters", ["Letter", "From", "Why", "Size", "Act"], rows, "There are no dead letters."),
      letters.length < total ? el("p", { class: "quiet" }, `The first ${letters.length}.`) : null);
  },
};

function showButton(name: string): HTMLElement {
  const button = el("button", { type: "button", click: async () => {
    const { letters } = await ask<Listed>("GET", `/dead?id=${encodeURIComponent(name)}`);
    button.closest("td")?.append(...letters.map(({ headers, body }) => el("pre", { tabindex: 0 }, `${Object.entries(headers).map(([key, value]) => `${key}: ${value}`).join("\n")}\n\n${body ?? ""}`)));
    button.remove();
  } }, "Show");
  return button;
}

function saidOf(action: "replay" | "drop", { acted, skipped, named, failed, missing }: Done): string {
  const parts = [`${acted} ${action === "replay" ? "replayed" : "dropped"}`];
  if (skipped) parts.push(`${skipped} stay: ${named.map(({ letter, why }) => `${letter}: ${why}`).join("; ")}`);
  if (missing.length) parts.push(`not there any more: ${missing.join(", ")}`);
  if (failed) parts.push(`it ended early: ${failed}`);
  return `${parts.join(". ")}.`;
}
