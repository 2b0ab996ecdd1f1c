/** What `<watchbell-preferences>` shows and does, for whoever is signed in. Loaded when one is put into a page. */
import type { Watchbell } from "@watchbell/client";
import type { WatchbellPreferences } from "./preferences-element.ts";
import { disablePush, enablePush } from "./push-device.ts";
import { screenStyles } from "./screen-styles.ts";
import { SettingsScreen, dndUntil } from "./settings-screen.ts";
import { Settings, allow } from "./settings.ts";
import { directionOf, onLanguage } from "./words.ts";

/** Shows it in `root` until what it answers is called. */
export function preferencesPage(host: WatchbellPreferences, root: ShadowRoot, client: Watchbell, styles: string): () => void {
  const language = () => host.getAttribute("lang") || document.documentElement.lang || navigator.language || "en";
  const worker = () => host.pushWorker ?? host.getAttribute("push-worker");
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles + screenStyles() + ":host { display: block; width: 100%; max-width: 44rem; }");
  root.adoptedStyleSheets = [sheet];
  let shown: { user: string; settings: Settings; screen: SettingsScreen } | null = null;
  const draw = () => {
    if (!shown) return;
    if (host.hasAttribute("lang") && !host.hasAttribute("dir")) shown.screen.element.dir = directionOf(language());
    shown.screen.draw();
  };
  const forget = () => {
    shown?.settings.close();
    shown = null;
    root.replaceChildren();
  };
  const follow = () => {
    const { user } = client.snapshot;
    if (!user || user === shown?.user) return;
    forget();
    const settings = new Settings(client, user, draw);
    const screen = new SettingsScreen({ client, settings, language, offersPush: () => worker() !== null });
    shown = { user, settings, screen };
    screen.element.classList.add("settings");
    root.replaceChildren(screen.element);
    draw();
    void settings.load();
    void screen.load();
  };
  const set = async (what: string, value: string | boolean) => {
    if (!shown) return;
    const { settings, screen } = shown;
    try {
      if (what === "dnd") await settings.setDnd(dndUntil(String(value), new Date()));
      if (what === "sound") settings.sound = Boolean(value);
      if (what === "desktop") {
        settings.desktop = Boolean(value) && (await allow());
        screen.tell(value && !settings.desktop ? "desktopBlocked" : "");
      }
      const pushWorker = worker();
      if (what === "push" && pushWorker) {
        await (value ? enablePush(client, pushWorker) : disablePush(client));
        settings.push = Boolean(value);
        screen.tell("");
      }
    } catch (error) {
      screen.tell(what === "push" ? "pushFailed" : "failed", (error as Error).message);
    }
    draw();
  };
  const changed = ({ target }: Event) => {
    const { dataset, value, type, checked } = target as HTMLInputElement;
    if (dataset["control"]) void set(dataset["control"], type === "checkbox" ? checked : value);
  };
  root.addEventListener("change", changed);
  const left = [client.subscribe(follow), onLanguage(draw)];
  follow();
  return () => {
    for (const leave of left) leave();
    root.removeEventListener("change", changed);
    forget();
  };
}
