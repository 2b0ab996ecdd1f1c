/** Imported where there is no browser, as a server does that renders pages: nothing happens, and nothing fails. */
import { expect, it } from "vitest";

it("is imported without a window, a document and elements", async () => {
  expect(["window", "document", "HTMLElement", "customElements", "CSSStyleSheet"].filter((name) => name in globalThis)).toEqual([]);
  const inbox = await import("../src/index.ts");
  expect(Object.keys(inbox).sort()).toEqual(["WatchbellInbox", "WatchbellPreferences", "deviceId", "disablePush", "enablePush", "registerLanguage"]);
});
