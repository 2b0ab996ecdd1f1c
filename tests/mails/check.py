"""Reads mails as somebody else's program would, with Python's own parser, and says what is wrong with them.

    python3 tests/mails/check.py FOLDER

FOLDER holds what tests/tests/providers/mails.rs wrote: each mail as it came over the wire (NAME.eml), and mails.json, a list of
what each has to say. Prints a line for each fault, and ends with 1 if there is one.
"""

import json
import re
import sys
from email import errors, message_from_string, policy
from html.parser import HTMLParser
from pathlib import Path

# RFC 5322, section 2.1.1.
LINE_BYTES_MAX = 998
HEAD_LINE_BYTES_MAX = 78
# RFC 5322, section 3.6: each of these once.
ONCE = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted", "List-Id"]
# What only changes the direction of writing is not looked at: it may be added around a text.
DIRECTIONS = dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


class Page(HTMLParser):
    """The words of an HTML part, and where its links and pictures lead."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.words, self.links, self.images, self.unclosed, self.hidden = [], [], [], [], 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a":
            self.links.append(attrs["href"])
        if tag == "img":
            self.images.append(attrs["src"])
        if tag not in ("meta", "img", "br", "hr"):
            self.unclosed.append(tag)
        self.hidden += tag in ("style", "title")

    def handle_endtag(self, tag):
        if not self.unclosed or self.unclosed.pop() != tag:
            self.unclosed.append(f"</{tag}> out of place")
        self.hidden -= tag in ("style", "title")

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def plain(text):
    """A text as its reader takes it in: one blank for any run of blanks, nothing that only changes directions."""
    return " ".join(text.translate(DIRECTIONS).split())


def faults_of_bytes(source):
    lines = source.split(b"\r\n")
    if lines.pop() != b"":
        yield "does not end with a line break"
    head = lines[: lines.index(b"")]
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_BYTES_MAX:
            yield f"line {number} has {len(line)} bytes"
        if b"\r" in line or b"\n" in line or b"\0" in line:
            yield f"line {number} has a bare line break or a zero"
    for number, line in enumerate(head, 1):
        # A word that cannot be folded, such as a link, may be longer.
        if len(line) > HEAD_LINE_BYTES_MAX and b" " in line.strip().split(b": ", 1)[-1]:
            yield f"header line {number} has {len(line)} bytes: {line!r}"
    if any(byte > 127 for line in lines[len(head) :] for byte in line):
        yield "the body is not encoded for relays that carry 7 bits"


def faults_of_headers(mail, expected):
    for name in ONCE:
        if len(mail.get_all(name, [])) != 1:
            yield f"{name} is there {len(mail.get_all(name, []))} times"
    for name, value in mail.items():
        for defect in getattr(value, "defects", []):
            # What RFC 5322 forbids there, RFC 6532 permits.
            if name == "To" and isinstance(defect, errors.NonASCIILocalPartDefect) and not expected["to"].isascii():
                continue
            yield f"{name}: {type(defect).__name__} {defect}"
    if plain(mail["Subject"]) != plain(expected["subject"]):
        yield f"Subject is {mail['Subject']!r}, not {expected['subject']!r}"
    sender, recipient = mail["From"].addresses, mail["To"].addresses
    if [one.display_name for one in sender] != [expected["from_name"]]:
        yield f"From is {sender!r}"
    if [one.addr_spec for one in recipient] != [expected["to"]]:
        yield f"To is {recipient!r}"
    if mail["Date"].datetime is None or mail["Date"].datetime.utcoffset() is None:
        yield f"Date is {mail['Date']!r}"
    if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", str(mail["Message-ID"]).strip()):
        yield f"Message-ID is {mail['Message-ID']!r}"
    if mail["Auto-Submitted"] != "auto-generated":
        yield f"Auto-Submitted is {mail['Auto-Submitted']!r}"
    if len(str(mail["Feedback-ID"] or "a").split(":")) != (4 if mail["Feedback-ID"] else 1):
        yield f"Feedback-ID is {mail['Feedback-ID']!r}"
    # RFC 8058: both headers, over https; none in a mail that would come all the same.
    link, one_click = mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]
    if expected["unsubscribes"]:
        if not re.fullmatch(r"<https://[^<>\s]+>", str(link or "")):
            yield f"List-Unsubscribe is {link!r}"
        if one_click != "List-Unsubscribe=One-Click":
            yield f"List-Unsubscribe-Post is {one_click!r}"
    elif link or one_click:
        yield f"List-Unsubscribe is {link!r}, and would stop nothing"


def faults_of_parts(mail, expected):
    for part in mail.walk():
        for defect in part.defects:
            yield f"{part.get_content_type()}: {type(defect).__name__} {defect}"
    kinds = [part.get_content_type() for part in mail.walk()]
    if kinds != ["multipart/alternative", "text/plain", "text/html"]:
        yield f"its parts are {kinds}"
        return
    text, html = (part.get_content() for part in mail.iter_parts())
    page = Page(html)
    if page.unclosed:
        yield f"the HTML is left open: {page.unclosed}"
    for shown, where in [(plain(text), "the text"), (plain("".join(page.words)), "the HTML")]:
        for words in expected["says"]:
            if plain(words) not in shown:
                yield f"{where} does not say {words!r}"
        for words in expected["says_not"]:
            if plain(words) in shown:
                yield f"{where} says {words!r}"
    links = set(re.findall(r"https?://[^\s<>()]+", text))
    if links != set(page.links):
        yield f"text and HTML lead elsewhere: {sorted(links ^ set(page.links))}"
    if page.images != expected["images"]:
        yield f"its pictures are {page.images}"
    yield from faults_of_dark(html)
    link = str(mail["List-Unsubscribe"] or "").strip("<>")
    if link and link not in links:
        yield "the link for unsubscribing is only in the head"


def lightness(color):
    """The relative luminance of a colour (WCAG 2.2)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def faults_of_dark(html):
    """Where it is dark, the page is dark and all that is written can be read: a contrast of 4.5 (WCAG 2.2, 1.4.3)."""
    found = re.search(r"@media \(prefers-color-scheme:dark\)\{(.*)\}", html)
    colors = dict(re.findall(r"\.(\w+)\{(?:background|color):(#[0-9a-f]{6}) !important", found[1] if found else ""))
    if missing := {"page", "card", "text", "quiet", "mark"} - colors.keys():
        yield f"where it is dark, {sorted(missing)} have no colours"
        return
    for words, ground in [("text", "card"), ("quiet", "card"), ("quiet", "page"), ("mark", "card")]:
        light, dark = lightness(colors[words]), lightness(colors[ground])
        if light <= dark or (light + 0.05) / (dark + 0.05) < 4.5:
            yield f"where it is dark, {words} is hard to read on {ground}: {colors[words]} on {colors[ground]}"


def faults_of(source, expected):
    yield from faults_of_bytes(source)
    # What a mail may hold depends on the address: only one beyond ASCII has a head beyond ASCII (RFC 6532).
    is_ascii = all(byte < 128 for byte in source)
    if is_ascii != expected["to"].isascii():
        yield "the head is not of the kind that its address asks for"
    # Python reads bytes of UTF-8 in a head as faults, and characters as characters.
    mail = message_from_string(source.decode(), policy=policy.SMTP if is_ascii else policy.SMTPUTF8)
    yield from faults_of_headers(mail, expected)
    yield from faults_of_parts(mail, expected)


def main(folder):
    mails = json.loads((folder / "mails.json").read_text("utf-8"))
    faults = 0
    for expected in mails:
        source = (folder / f"{expected['name']}.eml").read_bytes()
        for fault in faults_of(source, expected):
            faults += 1
            print(f"{expected['name']}: {fault}")
    print(f"{len(mails)} mails read, {faults} faults")
    return 1 if faults or not mails else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1])))
