/** The service worker for Web Push. What it does is in pushed.ts. */
import { type Extendable, type Shown, inTurn, open, press, resubscribe, saidBy, worker } from "./pushed.ts";

worker.addEventListener("push", (event: Extendable & { data: { json(): unknown; text(): string } | null }) => {
  event.waitUntil(inTurn(event.data ? saidBy(event.data) : { other: "Watchbell" }));
});

worker.addEventListener("notificationclick", (event: Extendable & { notification: Notification; action?: string }) => {
  event.notification.close();
  const shown = event.notification.data as Shown;
  if (!shown.alert) return; // What only says that something is over.
  event.waitUntil(event.action ? press(shown, event.action) : open(shown));
});

worker.addEventListener("pushsubscriptionchange", (event: Extendable & Parameters<typeof resubscribe>[0]) => event.waitUntil(resubscribe(event)));
