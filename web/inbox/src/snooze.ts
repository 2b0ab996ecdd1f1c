/** For how long an alert is put off: what the menu offers, on the clock of this browser's zone. */

export const CHOICES = ["20m", "1h", "tomorrow", "monday"] as const;
export type Choice = (typeof CHOICES)[number];

const MINUTE_MS = 60_000;
/** When a day begins for whoever is asked on another. */
const MORNING = 9;

/** When a snooze that begins at `now` ends. Tomorrow is the next day of the calendar, however long this one is. */
export function snoozeUntil(choice: Choice, now: Date): Date {
  switch (choice) {
    case "20m": return new Date(now.getTime() + 20 * MINUTE_MS);
    case "1h": return new Date(now.getTime() + 60 * MINUTE_MS);
    case "tomorrow": return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, MORNING);
    // On a Monday, the one after.
    case "monday": return new Date(now.getFullYear(), now.getMonth(), now.getDate() + ((8 - now.getDay()) % 7 || 7), MORNING);
  }
}

/** The choice that a button names. */
export const choiceOf = (name: string): Choice | undefined => CHOICES.find((choice) => choice === name);
