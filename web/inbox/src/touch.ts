/** A long press on a button that is a picture shows its name, and does not press it. */

const LONG_MS = 500;
const NAMED_MS = 1_500;

export function namesOnLongPress(area: HTMLElement): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let named: HTMLElement | null = null;
  area.addEventListener("pointerdown", (event) => {
    const button = (event.target as Element).closest<HTMLElement>(".icon");
    named = null;
    if (event.pointerType === "mouse" || !button) return;
    timer = setTimeout(() => {
      named = button;
      button.classList.add("named");
      setTimeout(() => button.classList.remove("named"), NAMED_MS);
    }, LONG_MS);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) area.addEventListener(end, () => clearTimeout(timer));
  // The press that showed a name is none; and no menu of the browser lies over it.
  area.addEventListener("click", (event) => {
    if (!named?.contains(event.target as Node)) return;
    named = null;
    event.stopImmediatePropagation();
    event.preventDefault();
  }, { capture: true });
  area.addEventListener("contextmenu", (event) => { if (named) event.preventDefault(); });
}
