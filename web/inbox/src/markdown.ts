/**
 * The Markdown that an alert's body may use: `**bold**`, `*emphasis*`, `` `code` ``, `[text](http or https)` and line breaks.
 * Everything else is text. It becomes elements and text nodes, never HTML, so nothing an alert says is run.
 *
 * The time it takes grows with the length of the text only: a mark that has no end is looked for once, and the lengths
 * of spans and links and the depth are bounded.
 */
import { webAddress } from "./alert.ts";
import { el } from "./dom.ts";

export type Piece = string | { tag: "strong" | "em" | "code" | "br"; inside: Piece[] } | { tag: "a"; href: string; inside: Piece[] };

const DEPTH_MAX = 4;
const SPAN_CHARS_MAX = 2_000;
const LINK_TEXT_CHARS_MAX = 300;
const LINK_URL_CHARS_MAX = 2_048;
const MARKS = [["**", "strong"], ["*", "em"], ["`", "code"]] as const;

export function parseMarkdown(text: string, depth = 0, isInLink = false): Piece[] {
  const pieces: Piece[] = [];
  const missing = new Set<string>();
  let plain = "";
  const put = (piece: Piece) => {
    if (plain) pieces.push(plain);
    plain = "";
    pieces.push(piece);
  };
  for (let at = 0; at < text.length; ) {
    const found = text[at] === "[" && !isInLink && depth < DEPTH_MAX ? linkAt(text, at, depth) : spanAt(text, at, depth, isInLink, missing);
    if (found) {
      put(found.piece);
      at = found.end;
    } else if (text[at] === "\n") {
      put({ tag: "br", inside: [] });
      at += 1;
    } else {
      if (text[at] === "\\" && /[*`[\]\\]/.test(text[at + 1] ?? "")) at += 1;
      plain += text[at];
      at += 1;
    }
  }
  if (plain) pieces.push(plain);
  return pieces;
}

/** The text as nodes. */
export const markdown = (text: string): (Node | string)[] => nodesOf(parseMarkdown(text));

interface Found { piece: Piece; end: number }

/** What is between two marks, which stand close to it: in `2 * 3 * 4` nothing is. */
function spanAt(text: string, at: number, depth: number, isInLink: boolean, missing: Set<string>): Found | null {
  const known = MARKS.find(([mark]) => text.startsWith(mark, at));
  if (!known || depth >= DEPTH_MAX || missing.has(known[0])) return null;
  const [mark, tag] = known;
  const from = at + mark.length;
  let to = text.indexOf(mark, from);
  // The end of what is bold within what is emphasized is no end of the emphasis.
  while (mark === "*" && to >= 0 && to - from <= SPAN_CHARS_MAX && text[to + 1] === "*") to = text.indexOf(mark, to + 2);
  if (to < 0) {
    missing.add(mark);
    return null;
  }
  const inner = text.slice(from, to);
  if (!inner || inner.length > SPAN_CHARS_MAX || inner.trim() !== inner) return null;
  return { piece: { tag, inside: tag === "code" ? [inner] : parseMarkdown(inner, depth + 1, isInLink) }, end: to + mark.length };
}

function linkAt(text: string, at: number, depth: number): Found | null {
  const near = text.slice(at + 1, at + 1 + LINK_TEXT_CHARS_MAX);
  const middle = near.indexOf("](");
  if (middle < 1 || /[\n[]/.test(near.slice(0, middle))) return null;
  const from = at + 1 + middle + 2;
  const address = /^[^\s)]+(?=\))/.exec(text.slice(from, from + LINK_URL_CHARS_MAX + 1))?.[0];
  const href = webAddress(address);
  if (!address || !href) return null;
  return { piece: { tag: "a", href, inside: parseMarkdown(near.slice(0, middle), depth + 1, true) }, end: from + address.length + 1 };
}

function nodesOf(pieces: readonly Piece[]): (Node | string)[] {
  return pieces.map((piece) => {
    if (typeof piece === "string") return piece;
    const inside = nodesOf(piece.inside);
    return piece.tag === "a" ? el("a", { href: piece.href, target: "_blank", rel: "noopener noreferrer" }, ...inside) : el(piece.tag, {}, ...inside);
  });
}
