/** @watchbell/inbox: importing it defines `<watchbell-inbox>`. */
import { WatchbellInbox } from "./element.ts";

export { WatchbellInbox };
export { type Subscribe, deviceId, disablePush, enablePush } from "./push.ts";
export { LANGUAGES, type Words } from "./words.ts";

if (!customElements.get("watchbell-inbox")) customElements.define("watchbell-inbox", WatchbellInbox);

declare global {
  interface HTMLElementTagNameMap {
    "watchbell-inbox": WatchbellInbox;
  }
}
