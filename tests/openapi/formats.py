"""What JSON Schema cannot say about a text and the OpenAPI document says by `format`: lengths in bytes, names with commas
between them, and what has to agree with something outside. Each format is a strategy for texts that the server has to accept.
Below them are the few requests that are left out or changed, and why.

Elsewhere: what is sent beside texts is made by schemathesis from the document; its settings are in schemathesis.toml.
"""

import json
import os
import string
from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

ALPHABET = string.ascii_letters + string.digits + "._-:@+=" + "éłßŻ中ж"
# Characters of four bytes at the most, so that this many always fit into the shortest bound.
CHARS_MAX = 24
# A list that is longer than this is there for the bound on its length alone.
LONG = 100
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY_MINUTES = 24 * 60


def register(name, strategy):
    schemathesis.openapi.format(name, strategy)


ids = st.text(ALPHABET, min_size=1, max_size=CHARS_MAX)
# Any text is a name that has no blank at its ends and nothing that breaks lines or changes the direction of text.
# Nor, if it is new, a character that draws nothing: most are of the category Cf, and these are of others.
UNSEEN = (
    (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
)
characters = st.characters(
    codec="utf-8",
    exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"),
    exclude_characters="".join(chr(c) for first, last in UNSEEN for c in range(first, last + 1)),
)
names = st.text(characters, min_size=1, max_size=CHARS_MAX)
words = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=CHARS_MAX)
lists = st.lists(words, min_size=1, max_size=4).map(",".join)

register("watchbell-id", ids)
register("watchbell-device", ids)
register("watchbell-key", st.text(string.ascii_letters + string.digits, min_size=1, max_size=CHARS_MAX))
register("watchbell-name", names)
register("watchbell-names", lists)
register("watchbell-words", lists)
register("watchbell-topics", lists)
register("watchbell-labels", st.lists(st.tuples(words, words).map(":".join), max_size=4).map(",".join))
register("watchbell-word", words)
register("watchbell-policy", st.sampled_from(["default", "critical"]))
register("watchbell-apns-token", st.text(string.hexdigits, min_size=64, max_size=64))
# Not all hexadecimal: that is how a token of Apple's looks.
register("watchbell-fcm-token", st.text(string.ascii_letters + string.digits, min_size=64, max_size=64).map("x:{}".format))
# The base point of the curve, uncompressed, in base64url.
register("watchbell-p256-point", st.just(
    "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
))
register("watchbell-snooze", st.integers(1, 28).map(
    lambda days: (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
))
register("watchbell-endpoint", words.map(lambda word: f"https://push.example.com/{word}"))
register("watchbell-label", st.text(characters, min_size=1, max_size=CHARS_MAX))
register("watchbell-email", words.map(lambda word: f"{word}@example.com"))
register("watchbell-url", words.map(lambda word: f"https://example.com/{word}"))
register("watchbell-group-key", words)
# No schema can say that the ids of one list differ.
register("watchbell-action-id", st.uuids().map(str))
register("watchbell-zone", st.sampled_from(["UTC", "Europe/Warsaw", "America/Argentina/Buenos_Aires", "Pacific/Chatham"]))
register("watchbell-own-tenant", st.just(os.environ.get("WATCHBELL_TENANT", "demo")))
register("watchbell-own-topic", st.just(os.environ.get("WATCHBELL_TOPIC", "monitor:7")))


def lines(items):
    return st.lists(items, min_size=1, max_size=3).map(lambda all: "\n".join(json.dumps(each) for each in all))


register("watchbell-alert-lines", lines(st.builds(lambda title, user: {"title": title, "to": {"users": [user]}}, words, names)))
register("watchbell-event-lines", lines(st.builds(lambda kind: {"type": kind}, words)))


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what is meant to be refused and rightly is not, and what is meant to be taken and rightly is refused."""
    if case.meta is None or not case.meta.generation.mode.is_negative:
        return not is_always_quiet(case.body)
    # An attribute of a CloudEvent fills what its data leaves out, and is passed over where the data says it itself. So a
    # wrong one is refused in some events and of no account in others, which no schema says: only right ones are sent.
    if (case.media_type or "").startswith("application/cloudevents"):
        return False
    # Of a list that may be null the tool makes one of wrong names, and then sends null in its place, which is right.
    is_change = case.operation.label == "PUT /v1/groups/{group}/members" and isinstance(case.body, dict)
    return not (is_change and None in case.body.values())


def is_always_quiet(body):
    """Whether the windows of preferences leave no minute of the week, which no schema says."""
    body = body if isinstance(body, dict) else {}
    preferences = body.get("preferences") or body
    windows = (preferences.get("quiet") or {}).get("windows") or []
    quiet = set()
    for window in windows:
        begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in (window["from"], window["to"]))
        minutes = (end - begin) % DAY_MINUTES or DAY_MINUTES
        for day in window.get("days") or DAYS:
            first = DAYS.index(day) * DAY_MINUTES + begin
            quiet.update(minute % (7 * DAY_MINUTES) for minute in range(first, first + minutes))
    return len(quiet) == 7 * DAY_MINUTES


@schemathesis.hook
def map_case(context, case):
    """A thousand alerts to everybody are a thousand times everybody's inbox: minutes, and nothing more about the document."""
    if isinstance(case.body, list) and len(case.body) > LONG:
        case.body = [to_one_person(item) for item in case.body]
    return case


def to_one_person(item):
    alert = item.get("data", item) if isinstance(item, dict) else item
    if not isinstance(alert, dict) or "to" not in alert:
        return item
    addressed = {**alert, "to": {"users": ["ana"]}}
    return {**item, "data": addressed} if alert is not item else addressed
