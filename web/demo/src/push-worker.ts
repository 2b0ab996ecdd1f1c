/**
 * The service worker of the demo: that of @watchbell/inbox, and pushes that the page hands over. The demo's push service
 * is the simulator, which has no way into the browser of its own as a vendor's service has.
 */
import "../../inbox/src/push-worker.ts";
import { type Extendable, type PushSaid, inTurn, worker } from "../../inbox/src/pushed.ts";

worker.addEventListener("message", (event: Extendable & { data: { push?: PushSaid } }) => {
  if (event.data.push) event.waitUntil(inTurn(event.data.push));
});
