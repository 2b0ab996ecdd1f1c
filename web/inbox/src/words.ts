/**
 * Everything the element says, and ages. English is here; the other languages that come with it are loaded when one is
 * asked for, and a page adds its own with `registerLanguage`. What a language leaves out is said in English.
 */
const en = {
  title: "Alerts",
  bell: "Alerts, {n} unread, {status}",
  live: "live", connecting: "connecting", reconnecting: "reconnecting", offline: "offline", idle: "signed out", closed: "not connected",
  all: "All", unreadOnly: "Unread", archived: "Archived",
  loading: "Loading…",
  "at-loading": "Loading…",
  "at-empty": "Nothing here. New alerts appear by themselves.",
  "at-empty-unread": "Everything is read.",
  "at-empty-archived": "Nothing is archived.",
  "at-nothing-found": "Nothing found.",
  "at-signed-out": "You are signed out. What is here is from before.",
  "at-origin": "This site may not connect to the alert server. Whoever runs the server has to allow it.",
  "at-refused": "The server refused the connection.",
  "at-gave-up": "Connecting failed too often.",
  "at-offline": "You are offline. It goes on by itself when the network is back.",
  "at-unreachable": "The server does not answer. It is tried again by itself.",
  "at-blocked": "Something else answers in place of the server: perhaps this network wants you to sign in.",
  "sign-in": "Sign in again", retry: "Try now", "show-all": "Show all", clear: "Clear the search",
  readAll: "Read all", settings: "Settings", older: "Show older", close: "Close", find: "Search", help: "Keys", select: "Select",
  read: "Read", unread: "Unread", dismiss: "Archive", snooze: "Snooze", restore: "Restore", open: "Open",
  showMore: "Show more", showLess: "Show less",
  "20m": "20 minutes", "1h": "1 hour", tomorrow: "Tomorrow, 9:00", monday: "Monday, 9:00",
  snoozeFor: "Snooze for {choice}: {title}", snoozedUntil: "Snoozed until {until}: {title}",
  dismissed: "Archived: {title}", wasRead: "Read: {title}", wasSnoozed: "Snoozed: {title}", several: "{n} alerts", undo: "Undo",
  criticalKept: "{n} critical left unread.", readCritical: "Read them too",
  selected: "{n} selected", selectAll: "Select all", selectOne: "Select: {title}", done: "Done",
  moreFrom: "{n} more from {from}", ofThem: "{n} unread",
  answered: "Answered: {title}",
  acknowledge: "Acknowledge", passOn: "Not me", hasIt: "{name} has it", youHaveIt: "You have it", somebody: "Somebody",
  tookIt: "Acknowledged: {title}", passedOn: "Passed on: {title}",
  snoozed: "{n} snoozed", wake: "Show now",
  dndOn: "Do not disturb is on. Alerts are counted, not announced.",
  region: "New alerts", more: "and {n} more", hide: "Hide: {title}",
  info: "info", warning: "warning", critical: "critical",
  acknowledged: "acknowledged", suppressed: "suppressed", resolved: "resolved", firing: "",
  refused: "Not accepted: {title}",
};

export type Words = typeof en;
/** A language as a page gives it; the words of the parts that are loaded when opened are in `details-words.ts`. */
export type Language = Partial<Words> & Record<string, string>;

const languages = new Map<string, Words>([["en", en]]);
const changed = new Set<() => void>();
const asked = new Set<string>();

/** Those that come with the element. */
const SHIPPED: Record<string, () => Promise<{ default: Language }>> = {
  ar: () => import("./languages/ar.ts"),
  de: () => import("./languages/de.ts"),
  es: () => import("./languages/es.ts"),
  fr: () => import("./languages/fr.ts"),
  ja: () => import("./languages/ja.ts"),
};

/** Adds a language, or changes one: `tag` is such as `pt` or `pt-BR`. What is on screen is drawn anew. */
export function registerLanguage(tag: string, words: Language): void {
  languages.set(tag.toLowerCase(), { ...(languages.get(tag.slice(0, 2).toLowerCase()) ?? en), ...words });
  for (const redraw of changed) redraw();
}

/** Calls back when a language was added. Answers how to stop. */
export function onLanguage(redraw: () => void): () => void {
  changed.add(redraw);
  return () => changed.delete(redraw);
}

/** The words of `lang`, English until they are here. */
export function wordsFor(lang: string): Words {
  const tag = lang.toLowerCase();
  const short = tag.slice(0, 2);
  const load = SHIPPED[short];
  if (load && !languages.has(short) && !asked.has(short)) {
    asked.add(short);
    load().then(
      ({ default: words }) => { if (!languages.has(short)) registerLanguage(short, words); },
      (error: unknown) => {
        asked.delete(short); // Asked for again with the next that is said.
        console.warn(`Watchbell: the words of ${short} could not be loaded.`, error);
      },
    );
  }
  return languages.get(tag) ?? languages.get(short) ?? en;
}

/** In which direction a language is written. */
export const directionOf = (lang: string): "rtl" | "ltr" => (/^(ar|dv|fa|he|ku|ps|sd|ug|ur|yi)\b/i.test(lang) ? "rtl" : "ltr");

export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

const formats = new Map<string, Intl.RelativeTimeFormat>();

/** Made once a language: making one costs more than a hundred uses. A page may name one that does not exist. */
function formatOf(lang: string): Intl.RelativeTimeFormat {
  const format = formats.get(lang) ?? new Intl.RelativeTimeFormat(localeOf(lang), { numeric: "auto", style: "short" });
  formats.set(lang, format);
  return format;
}

/** The tag, or what the browser has where it is none. */
export function localeOf(lang: string): string | undefined {
  try {
    return Intl.getCanonicalLocales(lang)[0];
  } catch {
    return undefined;
  }
}

/** "5 min. ago", in the language. */
export function ago(at: string, now: number, lang: string): string {
  const seconds = Math.round((Date.parse(at) - now) / 1_000) || 0;
  const units: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const format = formatOf(lang);
  return unit === "second" && Math.abs(seconds) < 10 ? format.format(0, "second") : format.format(Math.round(seconds / size), unit);
}
