/** Everything the element says. A language is one object; add one to `LANGUAGES` and it is used where `lang` asks for it. */
const en = {
  title: "Alerts",
  bell: "Alerts, {n} unread, {status}",
  live: "live", connecting: "connecting", reconnecting: "reconnecting", offline: "offline", idle: "signed out", closed: "signed out",
  empty: "Nothing here. New alerts appear by themselves.",
  loading: "Loading…",
  readAll: "Read all", settings: "Settings", older: "Show older", close: "Close",
  read: "Read", unread: "Unread", dismiss: "Dismiss", snooze: "Snooze", open: "Open",
  "20m": "20 minutes", "1h": "1 hour", tomorrow: "Tomorrow, 9:00", snoozeFor: "Snooze for {choice}: {title}", snoozedUntil: "Snoozed until {until}: {title}",
  dismissed: "Dismissed: {title}", undo: "Undo",
  snoozed: "{n} snoozed", wake: "Show now",
  dnd: "Do not disturb", dndOff: "Off", dndHour: "For an hour", dndTomorrow: "Until tomorrow, 8:00", dndAlways: "Until I turn it off",
  dndHere: "On this device only: the server keeps no preferences.",
  dndOn: "Do not disturb is on. Alerts are counted, not announced.",
  sound: "Sound", desktop: "Desktop notifications", desktopBlocked: "Blocked in the browser's settings.",
  push: "Notify me when this page is closed", pushFailed: "This server or browser offers no push: {why}",
  region: "New alerts", more: "and {n} more",
  info: "info", warning: "warning", critical: "critical",
  acknowledged: "acknowledged", suppressed: "suppressed", resolved: "resolved", firing: "",
  refused: "Not accepted: {title}",
};

export type Words = typeof en;

const de: Words = {
  title: "Meldungen",
  bell: "Meldungen, {n} ungelesen, {status}",
  live: "live", connecting: "verbinde", reconnecting: "verbinde neu", offline: "offline", idle: "abgemeldet", closed: "abgemeldet",
  empty: "Nichts da. Neue Meldungen erscheinen von selbst.",
  loading: "Lädt…",
  readAll: "Alle gelesen", settings: "Einstellungen", older: "Ältere zeigen", close: "Schließen",
  read: "Gelesen", unread: "Ungelesen", dismiss: "Verwerfen", snooze: "Später", open: "Öffnen",
  "20m": "20 Minuten", "1h": "1 Stunde", tomorrow: "Morgen, 9:00", snoozeFor: "Zurückstellen, {choice}: {title}", snoozedUntil: "Zurückgestellt bis {until}: {title}",
  dismissed: "Verworfen: {title}", undo: "Rückgängig",
  snoozed: "{n} zurückgestellt", wake: "Jetzt zeigen",
  dnd: "Nicht stören", dndOff: "Aus", dndHour: "Eine Stunde lang", dndTomorrow: "Bis morgen, 8:00", dndAlways: "Bis ich es ausschalte",
  dndHere: "Nur auf diesem Gerät: Der Server speichert keine Einstellungen.",
  dndOn: "„Nicht stören“ ist an. Meldungen werden gezählt, aber nicht angekündigt.",
  sound: "Ton", desktop: "Desktop-Benachrichtigungen", desktopBlocked: "In den Einstellungen des Browsers gesperrt.",
  push: "Auch benachrichtigen, wenn diese Seite zu ist", pushFailed: "Dieser Server oder Browser bietet keinen Push: {why}",
  region: "Neue Meldungen", more: "und {n} weitere",
  info: "Info", warning: "Warnung", critical: "kritisch",
  acknowledged: "bestätigt", suppressed: "unterdrückt", resolved: "behoben", firing: "",
  refused: "Nicht angenommen: {title}",
};

export const LANGUAGES: Record<string, Words> = { en, de };

export function wordsFor(lang: string): Words {
  return LANGUAGES[lang.toLowerCase()] ?? LANGUAGES[lang.slice(0, 2).toLowerCase()] ?? en;
}

export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

const formats = new Map<string, Intl.RelativeTimeFormat>();

/** Made once a language: making one costs more than a hundred uses. */
function formatOf(lang: string): Intl.RelativeTimeFormat {
  const format = formats.get(lang) ?? new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
  formats.set(lang, format);
  return format;
}

/** "5 min. ago", in the language. */
export function ago(at: string, now: number, lang: string): string {
  const seconds = Math.round((Date.parse(at) - now) / 1_000);
  const units: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const format = formatOf(lang);
  return unit === "second" && Math.abs(seconds) < 10 ? format.format(0, "second") : format.format(Math.round(seconds / size), unit);
}
