/** The words of the parts that are loaded when they are opened, in English; the other languages have them with the rest. */
import { type Words, wordsFor } from "./words.ts";

const en = {
  dnd: "Do not disturb", dndOff: "Off", dndHour: "For an hour", dndTomorrow: "Until tomorrow, 8:00", dndAlways: "Until I turn it off",
  dndHere: "On this device only: the server keeps no preferences.",
  sound: "Sound", desktop: "Desktop notifications", desktopBlocked: "Blocked in the browser's settings.",
  push: "Notify me when this page is closed", pushFailed: "This server or browser offers no push: {why}",
  searchIn: "Search alerts", anySeverity: "Any severity", severity: "Severity", category: "Category", label: "Label, such as host:db-1",
  keyMove: "Up and down", keyEnds: "First and last",
  channelsTitle: "How I am told", everything: "Everything else", moreChannels: "More ways", by: "{category} by {channel}",
  "by-push": "Push", "by-email": "Mail", "by-sms": "SMS", "by-slack": "Slack", "by-telegram": "Telegram", "by-webhook": "Webhook",
  digestTitle: "Mails", digest: "They come", digestAt: "At", digestNote: "Critical alerts do not wait.",
  "digest-": "As this server gathers them", "digest-alert": "Each by itself", "digest-hour": "Gathered, every hour", "digest-day": "Gathered, once a day",
  quietTitle: "Quiet hours", zone: "Time zone", addWindow: "Add quiet hours", removeWindow: "Remove", from: "From", to: "To", noWindows: "None: alerts come at any hour.",
  zoneUnknown: "There is no such time zone.",
  devicesTitle: "Devices", thisBrowser: "this browser", since: "since {at}", forget: "Forget", test: "Send a test", noDevices: "No device gets notifications.",
  testSent: "A test is on its way.", forgotten: "It is forgotten.", saved: "Saved.", failed: "Not saved: {why}",
  "service-apns": "iPhone or iPad", "service-fcm": "Android", "service-webpush": "Browser",
};

export type DetailsWords = Words & typeof en;

export function detailsFor(language: string): DetailsWords {
  return { ...en, ...wordsFor(language) };
}
