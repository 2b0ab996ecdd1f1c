/** A mail as it was sent: its headers, the page that a mailbox would show, in a frame that runs and loads nothing, and its plain text. */
import { type Part, build, byId, put } from "./draw.ts";

export interface Mail {
  title: string;
  body: string;
  headers?: Record<string, string>;
  /** Where its HTML is, below the simulator; none where it has only text. */
  mail?: { address: string };
}

/** The headers that a reader knows come first; the names are those that are shown. */
const FIRST = ["From", "To", "Subject", "Date", "List-Unsubscribe"];

export function openMail({ title, body, headers = {}, mail }: Mail): void {
  put("letter-title", title);
  byId("letter-headers").replaceChildren(...headerRows(headers).map(build));
  const page = byId<HTMLIFrameElement>("letter-page");
  page.hidden = !mail;
  if (mail) page.src = `/simulator/${mail.address}`;
  put("letter-text", body);
  byId<HTMLDetailsElement>("letter-plain").open = !mail;
  byId<HTMLDialogElement>("letter").showModal();
}

/** The headers as rows: those that a reader knows, and then all others by name. */
export function headerRows(headers: Record<string, string>): Part[] {
  const known = FIRST.filter((name) => headers[name.toLowerCase()] !== undefined);
  const others = Object.keys(headers).filter((name) => !FIRST.some((one) => one.toLowerCase() === name)).sort();
  return [...known, ...others].flatMap((name): Part[] => [["dt", "", name], ["dd", "", headers[name.toLowerCase()] ?? ""]]);
}
