/** @watchbell/inbox: importing it in a browser defines `<watchbell-inbox>` and `<watchbell-preferences>`. */
import { WatchbellInbox } from "./element.ts";
import { WatchbellPreferences } from "./preferences-element.ts";
import type * as PushDevice from "./push-device.ts";

export { WatchbellInbox, WatchbellPreferences };
export type { RenderRow } from "./element.ts";
export type { AlertAction, ShownAlert, ShownRow } from "./alert.ts";
export type { PushWorker, Subscribe } from "./push-device.ts";
export { deviceId } from "./push.ts";
export { type Language, type Words, registerLanguage } from "./words.ts";

/** Makes this browser one of the person's devices, by Web Push. */
export const enablePush: typeof PushDevice.enablePush = async (...args) => (await import("./push-device.ts")).enablePush(...args);
/** This browser is no device any more: nothing is sent to it. */
export const disablePush: typeof PushDevice.disablePush = async (...args) => (await import("./push-device.ts")).disablePush(...args);

// On a server there is nothing to define.
if (globalThis.customElements) {
  for (const [name, element] of [["watchbell-inbox", WatchbellInbox], ["watchbell-preferences", WatchbellPreferences]] as const) {
    if (!customElements.get(name)) customElements.define(name, element);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "watchbell-inbox": WatchbellInbox;
    "watchbell-preferences": WatchbellPreferences;
  }
}
