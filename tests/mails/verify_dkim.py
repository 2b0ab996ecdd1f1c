"""Verifies the signatures of mails with dkimpy, and that they protect what they are to protect.

    target/dkimpy/bin/python tests/mails/verify_dkim.py FOLDER

FOLDER is that of check.py. A mail is verified if mails.json has `dkim` for it: the name and the text of the record that its
domain publishes, which stand in for the name server. tests/tools.sh makes the environment. Prints a line for each fault, and
ends with 1 if there is one.
"""

import json
import sys
from pathlib import Path

import dkim


def verifies(source, record):
    asked = []

    def answer(name, timeout=5):
        asked.append(name)
        return record["text"].encode() if name.decode().rstrip(".") == record["name"] else None

    try:
        is_good = dkim.verify(source, dnsfunc=answer)
    except dkim.DKIMException:
        is_good = False
    return is_good and bool(asked)


def changed(source, old, new):
    assert old in source, f"{old!r} is not in the mail"
    return source.replace(old, new, 1)


# What somebody on the way may do to a mail, and whether the signature still holds.
def changes(source):
    yield "nothing", source, True
    yield "blanks at the ends of lines", source.replace(b"\r\n\r\n--", b"  \r\n\r\n--"), True
    yield "empty lines at the end", source + b"\r\n\r\n", True
    yield "a header that is not signed", b"Received: from x by y\r\n" + source, True
    yield "another subject", changed(source, b"\r\nSubject: ", b"\r\nSubject: Re: "), False
    yield "a second sender", b"From: Eve <eve@evil.test>\r\n" + source, False
    yield "a second subject", b"Subject: Click here\r\n" + source, False
    yield "a place for answers", b"Reply-To: eve@evil.test\r\n" + source, False
    yield "another recipient", changed(source, b"\r\nTo: ", b"\r\nTo: x"), False
    yield "another text", changed(source, b"Content-Type: text/plain", b"Content-Type: text/x"), False
    yield "another date", changed(source, b"\r\nDate: ", b"\r\nDate: Mon, 01 Jan 2001 00:00:00 +0000 "), False
    if b"\r\nList-Unsubscribe: " in source:
        yield "another link for unsubscribing", changed(source, b"\r\nList-Unsubscribe: <", b"\r\nList-Unsubscribe: <x"), False
        yield "no button for it", changed(source, b"\r\nList-Unsubscribe-Post: ", b"\r\nX-Post: "), False


def main(folder):
    mails = json.loads((folder / "mails.json").read_text("utf-8"))
    signed = [mail for mail in mails if "dkim" in mail]
    faults = 0
    for mail in signed:
        source = (folder / f"{mail['name']}.eml").read_bytes()
        for change, as_changed, expected in changes(source):
            if verifies(as_changed, mail["dkim"]) != expected:
                faults += 1
                print(f"{mail['name']}: with {change} it {'fails' if expected else 'still holds'}")
        other = dict(mail["dkim"], text="v=DKIM1; k=rsa; p=")
        if verifies(source, other):
            faults += 1
            print(f"{mail['name']}: holds though its key was revoked")
    print(f"{len(signed)} signatures verified, {faults} faults")
    return 1 if faults or not signed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1])))
