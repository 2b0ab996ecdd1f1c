/**
 * What an alert may have that only the element shows: a picture, Markdown, a group and buttons of its own, and what the
 * person answered. All of it is optional, and what does not look as it should is left out.
 */
import type { Alert, Row } from "@watchbell/client";

export interface AlertAction {
  id: string;
  title: string;
  /** Opens a page; else `answer` goes back to the producer. */
  url?: string;
  answer?: string;
}

export interface ShownAlert extends Alert {
  image?: string;
  body_format?: "text" | "markdown";
  group_key?: string;
  actions?: AlertAction[];
}

export interface ShownRow extends Row {
  alert: ShownAlert;
}

/** More buttons than these are not shown: a server takes no more either. */
export const ACTIONS_MAX = 3;

/** The buttons that can be shown: named, and with either an address of the web or an answer. */
export function actionsOf({ actions }: ShownAlert): AlertAction[] {
  const some = Array.isArray(actions) ? actions : [];
  return some.filter(({ id, title, url, answer }) => id && title && (answer || webAddress(url))).slice(0, ACTIONS_MAX);
}

/** As the server names a person who was erased (src/store/erasure.rs). */
export const NOBODY_NOW = "~erased";

/** Who has an alert that one of its recipients is to take on; none where nobody is to. */
export function acknowledgementOf({ acknowledgement: one }: ShownAlert): { by?: string | undefined } | undefined {
  return one && typeof one === "object" ? { by: typeof one.by === "string" ? one.by : undefined } : undefined;
}

/** Links only to web addresses: an alert must not smuggle in a script. */
export function webAddress(url: string | undefined): string | undefined {
  return url && /^https?:\/\//i.test(url) && URL.canParse(url) ? url : undefined;
}

/** A picture only over https: it must not tell the network what the person reads. */
export function imageAddress({ image }: ShownAlert): string | undefined {
  return image && /^https:\/\//i.test(image) && URL.canParse(image) ? image : undefined;
}
