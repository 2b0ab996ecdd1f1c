/** The Markdown subset: what it makes of a text, and that no text makes it do anything else, or last. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Piece, parseMarkdown } from "../src/markdown.ts";

const link = (href: string, ...inside: Piece[]): Piece => ({ tag: "a", href, inside });
const made = (tag: "strong" | "em" | "code", ...inside: Piece[]): Piece => ({ tag, inside });
const br: Piece = { tag: "br", inside: [] };

it.each<[string, string, Piece[]]>([
  ["plain text", "just text", ["just text"]],
  ["bold", "a **b** c", ["a ", made("strong", "b"), " c"]],
  ["emphasis", "a *b* c", ["a ", made("em", "b"), " c"]],
  ["emphasis in bold", "**a *b* c**", [made("strong", "a ", made("em", "b"), " c")]],
  ["bold in emphasis", "*a **b** c*", [made("em", "a ", made("strong", "b"), " c")]],
  ["code, in which nothing is marked", "`**a** <b>`", [made("code", "**a** <b>")]],
  ["a link", "see [the **run**book](https://a.example/x)", ["see ", link("https://a.example/x", "the ", made("strong", "run"), "book")]],
  ["a line break", "a\nb", ["a", br, "b"]],
  ["a product is no emphasis", "2 * 3 * 4", ["2 * 3 * 4"]],
  ["a mark without an end", "**a and *b", ["**a and *b"]],
  ["marks that are escaped", "\\*a\\* \\[b\\]", ["*a* [b]"]],
  ["HTML", "<img src=x onerror=alert(1)>", ["<img src=x onerror=alert(1)>"]],
  ["a picture is a link after a mark", "![x](https://a.example/x.png)", ["!", link("https://a.example/x.png", "x")]],
  ["headings and lists are text", "# a\n- b", ["# a", br, "- b"]],
  ["an empty text", "", []],
])("%s", (_why, text, expected) => expect(parseMarkdown(text)).toEqual(expected));

it.each([
  "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>1</script>", "vbscript:x", "file:///etc/passwd",
  "//evil.example", "/path", "mailto:a@b.example", "https:", "http://", "\u0001javascript:alert(1)", "blob:https://a.example/1",
])("[x](%s) is no link", (address) => {
  expect(parseMarkdown(`[x](${address})`).every((piece) => typeof piece === "string" || piece.tag !== "a")).toBe(true);
});

const links = (pieces: readonly Piece[]): string[] => pieces.flatMap((piece) => (typeof piece === "string" ? [] : [...(piece.tag === "a" ? [piece.href] : []), ...links(piece.inside)]));
const words = (pieces: readonly Piece[]): string => pieces.map((piece) => (typeof piece === "string" ? piece : piece.tag === "br" ? "\n" : words(piece.inside))).join("");

it("whatever the text, links are of the web, no link is in a link, and no word is lost or added", () => {
  const token = fc.constantFrom("*", "**", "`", "[", "]", "(", ")", "](", "\\", "\n", " ", "a", "https://a.example", "javascript:x", "<b>");
  fc.assert(fc.property(fc.array(token, { maxLength: 60 }), (tokens) => {
    const pieces = parseMarkdown(tokens.join(""));
    const nested = (inside: readonly Piece[], isIn: boolean): boolean => inside.some((piece) => typeof piece !== "string" && ((piece.tag === "a" && isIn) || nested(piece.inside, isIn || piece.tag === "a")));
    expect(links(pieces).every((href) => /^https?:\/\//.test(href))).toBe(true);
    expect(nested(pieces, false)).toBe(false);
    const letters = (text: string) => [...text].filter((one) => one === "a").length;
    expect(letters(words(pieces)) + links(pieces).reduce((sum, href) => sum + letters(href), 0)).toBe(letters(tokens.join("")));
  }));
});

// The steps are counted by how often the text is looked at, not by a clock.
it.each(["*", "**", "`", "[", "[a](", "**a ", "*a** ", "[*a**", "![[`*", "* **"])("64 KiB of %s are read in steps that grow with the length", (mark) => {
  const stepsOf = (length: number) => {
    let steps = 0;
    const text = mark.repeat(length / mark.length);
    const indexOf = String.prototype.indexOf;
    String.prototype.indexOf = function (this: string, ...args: [string, number?]) {
      const found = indexOf.apply(this, args);
      steps += 1 + (found < 0 ? this.length - (args[1] ?? 0) : found - (args[1] ?? 0));
      return found;
    };
    try {
      parseMarkdown(text);
    } finally {
      String.prototype.indexOf = indexOf;
    }
    return steps;
  };
  expect(stepsOf(65_536)).toBeLessThan(65_536 * 1_200);
});
