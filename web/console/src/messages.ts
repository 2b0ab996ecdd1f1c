/** The mail and the pushes about an alert, as this server would make them now: what was sent is not kept. */
import { carryOut } from "./acts.ts";
import { ask } from "./api.ts";
import { el } from "./dom.ts";

interface Mail { subject: string; text: string; html: string }
type Message = Mail | { payload: unknown } | { refused: string };
interface Messages { version: number; messages: Record<string, Message> }

const NAMES: Record<string, string> = { email: "Mail", apns: "Push to an iPhone", fcm: "Push to an Android phone", webpush: "Push to a browser" };

/** Before all else in a mail's page: it loads nothing, whatever it asks for. */
const POLICY = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:">`;

/** A button that shows them below itself, and puts them away. */
export function messagesButton(alert: string, user: string): HTMLElement {
  const shown = el("div", { class: "stack", hidden: true });
  const button = el("button", { type: "button", class: "add", "aria-expanded": "false", click: () => {
    const isOpening = shown.hidden;
    shown.hidden = true;
    button.setAttribute("aria-expanded", "false");
    if (isOpening) void carryOut(async () => {
      const query = new URLSearchParams({ alert, user });
      shown.replaceChildren(...messagesOf(await ask<Messages>("GET", `/messages?${query}`)));
      shown.hidden = false;
      button.setAttribute("aria-expanded", "true");
      return "";
    }).catch(() => {});
  } }, "Mail and push");
  return el("div", { class: "stack" }, button, shown);
}

function messagesOf({ version, messages }: Messages): HTMLElement[] {
  const places = Object.keys(NAMES);
  const all = Object.entries(messages).sort(([one], [other]) => places.indexOf(one) - places.indexOf(other));
  if (all.length === 0) return [el("p", { class: "quiet" }, "This process sends no mails and no pushes: open the console of one with the role `fallback`.")];
  const note = `Made now, of version ${version}, by the code that sends: the bytes that were sent are not kept. Links that act for the person are left out. ` +
    "Somebody who got several alerts at once got one message about all of them.";
  return [el("p", { class: "quiet" }, note), ...all.map(([provider, message]) => messageOf(NAMES[provider] ?? provider, message))];
}

function messageOf(name: string, message: Message): HTMLElement {
  const parts = "refused" in message ? [el("p", { class: "bad" }, message.refused)]
    : "payload" in message ? [el("pre", { tabindex: 0 }, JSON.stringify(message.payload, null, 2))]
    : mailOf(message);
  return el("details", { class: "message", open: "html" in message }, el("summary", {}, name), ...parts);
}

function mailOf({ subject, text, html }: Mail): HTMLElement[] {
  // Nothing runs in it; of the same origin it is only for this page to give it its looks.
  const frame = el("iframe", { sandbox: "allow-same-origin", title: `Mail: ${subject}`, srcdoc: POLICY + withoutLooks(html), referrerpolicy: "no-referrer", load: () => dress(frame) });
  return [
    el("p", {}, el("b", {}, "Subject: "), subject),
    frame,
    el("details", {}, el("summary", {}, "Its plain text"), el("pre", { tabindex: 0 }, text)),
  ];
}

/** Where the looks of an element wait until the page gives them. */
const LOOKS = "data-looks";

/**
 * A frame has the policy of the page that it stands in, and this page's allows no style sheet and no `style` that comes with a text. So they
 * are set aside, and given by script, which the policy allows.
 */
function withoutLooks(html: string): string {
  return html.replace(/<style\b/gi, `<script type="text/css" ${LOOKS}`).replace(/<\/style\b/gi, "</script")
    .replace(/<[a-z][^>]*>/gi, (tag) => tag.replace(/\sstyle=/gi, ` ${LOOKS}=`));
}

function dress({ contentDocument: page }: HTMLIFrameElement): void {
  const view = page?.defaultView;
  if (!page || !view) return;
  for (const part of page.querySelectorAll<HTMLElement>(`[${LOOKS}]`)) {
    if (part.localName === "script") {
      const sheet = new view.CSSStyleSheet();
      sheet.replaceSync(part.textContent ?? "");
      page.adoptedStyleSheets.push(sheet);
    } else part.style.cssText = part.getAttribute(LOOKS) ?? "";
  }
}
