/** What an operator does: a button, a question where it cannot be undone, and what came of it. */
import { Refused, SignedOut } from "./api.ts";
import { byId, el } from "./dom.ts";

/** Says what came of something, to eyes and to screen readers. */
export function tell(text: string, isBad = false): void {
  const note = byId("told");
  note.textContent = text;
  note.classList.toggle("bad", isBad);
  note.hidden = text === "";
}

/** Carries something out and tells what came of it. A session that is over is for the page to deal with. */
export async function carryOut(act: () => Promise<string>): Promise<void> {
  tell("");
  try {
    tell(await act());
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    tell(error instanceof Refused ? `Not done. ${error.message}` : `Not done: the server does not answer (${String(error)}).`, true);
  }
}

/** A button that does something, and cannot be pressed again meanwhile. `then` runs after it, whatever came of it. */
export function actButton(name: string, act: () => Promise<string>, then: () => void, look = ""): HTMLButtonElement {
  const button = el("button", { type: "button", class: look, click: () => {
    button.disabled = true;
    void carryOut(act).catch(() => {}).finally(() => { button.disabled = false; then(); });
  } }, name);
  return button;
}

/**
 * The same for what cannot be undone: it asks first, and whoever goes on writes the name of what it is about. Escape and
 * "Keep" change nothing.
 */
export function gravely(name: string, about: string, warning: string, act: () => Promise<string>, then: () => void): HTMLButtonElement {
  return el("button", { type: "button", class: "grave", click: () => {
    const [typed, go] = [
      el("input", { id: "typed", autocomplete: "off", spellcheck: "false", input: () => { go.disabled = typed.value !== about; } }),
      el("button", { type: "submit", class: "grave", disabled: true }, name),
    ];
    const dialog = el("dialog", { "aria-labelledby": "question", close: () => dialog.remove() },
      el("form", { method: "dialog", submit: (event) => { event.preventDefault(); dialog.close(); void carryOut(act).catch(() => {}).finally(then); } },
        el("h2", { id: "question" }, `${name}?`), el("p", {}, warning),
        el("label", { for: "typed" }, "To go on, write ", el("code", {}, about), typed),
        el("div", { class: "buttons" }, el("button", { type: "button", click: () => dialog.close() }, "Keep"), go)));
    document.body.append(dialog);
    dialog.showModal();
    typed.focus();
  } }, name);
}
