/**
 * The states of the inbox, and what the page with a session that is made up (browser/page/made-up.ts) is asked to show for each. Pictures
 * are taken of all of them (`shots.mjs`), and all of them are looked at by axe and by their targets (`element-states.test.ts`): a state
 * that is added here is in both.
 */

/** Size of the window for a state that fills it, and for one that is a few lines. */
const LARGE = [900, 700];
const SMALL = [520, 330];
const PHONE = [390, 780];

/** @type {{ name: string, asked: string, size: number[] }[]} */
export const STATES = [
  { name: "open", asked: "open", size: LARGE },
  { name: "to-take-on", asked: "open&take", size: LARGE },
  { name: "toasts", asked: "toasts", size: LARGE },
  { name: "found", asked: "find", size: LARGE },
  { name: "chosen", asked: "select", size: LARGE },
  { name: "settings", asked: "settings", size: [900, 900] },
  { name: "help", asked: "help", size: [900, 600] },
  ...["signed-out", "origin", "refused", "gave-up", "offline", "unreachable", "blocked"].map((reason) => ({ name: `at-${reason}`, asked: `open&few&reason=${reason}`, size: SMALL })),
  { name: "at-loading", asked: "open&none&loading", size: SMALL },
  { name: "at-empty", asked: "open&none", size: SMALL },
];

/** How a state may look, and what its picture is called beside the state. */
const LOOKS = [
  { name: "", asked: "" },
  { name: "-dark", asked: "&theme=dark" },
  { name: "-phone", asked: "", size: PHONE },
  { name: "-rtl", asked: "&lang=ar" },
];

/** Name, width, height, and what the page is asked to show. */
export const SHOTS = [
  ...STATES.flatMap((state) => LOOKS.map((look) => [`${state.name}${look.name}`, ...(look.size ?? state.size), `${state.asked}${look.asked}`])),
  ["left", ...LARGE, "open&bell=left"],
  ["bottom", 900, 500, "open&bell=bottom"],
  ["german", ...LARGE, "open&lang=de"],
  ["contrast", ...LARGE, "open&contrast"],
  ["settings-phone-dark", ...PHONE, "settings&theme=dark"],
  ["toasts-phone-dark", ...PHONE, "toasts&theme=dark"],
];
