"""The fleet of docker-compose.yml, driven as a newcomer and then as bad luck would.

    walk.py --binary BINARY [--short | --transcript FILE]

It starts the fleet with `docker compose up --build`, reads what `welcome` printed and does just that. Then alerts are published
without a pause to people with sessions behind HAProxy, while a pod is restarted and RabbitMQ and PostgreSQL are killed. In the end
every session has had every alert once, in order, and every worker is the process that it was.

With --transcript it does what a newcomer does and no more, from a clone of the last commit on, and writes FILE: each command, what
it printed, and when.

Nothing here depends on how fast the machine is: every wait is for a condition, with a deadline far away.
"""

import argparse
import contextlib
import csv
import http.client
import io
import json
import os
import re
import shlex
import signal
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# How long anything may take.
DEADLINE_S = 180
# Sessions of each person.
SESSIONS = 6
PEOPLE = ["ana", "ben"]
# Between two alerts.
PAUSE_S = 0.2
WORKERS = ["ingest", "dispatch", "socket-1", "socket-2", "fallback", "demo", "haproxy"]

BEGAN = time.monotonic()


def say(what):
    print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", flush=True)


def fail(why):
    raise SystemExit(f"walk.py: {why}")


def until(what, look):
    """The first true value of `look`, which is asked again and again."""
    began, last = time.monotonic(), None
    while time.monotonic() - began < DEADLINE_S:
        try:
            if found := look():
                return found
            last = "not so"
        except (OSError, ValueError) as error:
            last = error
        time.sleep(0.2)
    return fail(f"not within {DEADLINE_S} s: {what} (last: {last})")


def run(*command, **settings):
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)
    if done.returncode != 0:
        fail(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
    # Compose clears lines even where there is no terminal.
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout)


def compose(*arguments, **settings):
    return run("docker", "compose", *arguments, **settings)


def ask(url, key=None, body=None, method=None):
    """The status and the text of an answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def upgraded(url, origin):
    """The status of a WebSocket's handshake, as a page of that origin begins it."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    connection.request("GET", "/v1/ws", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Origin": origin,
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="})
    status = connection.getresponse().status
    connection.close()
    return status


class Session:
    """`watchbell tail --json` on this machine: a client that comes back with its cursor."""

    def __init__(self, binary, url, user, token):
        self.user, self.frames, self.errors = user, [], []
        self.process = subprocess.Popen(
            [binary, "tail", "--json", "--url", url, "--token", token],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream, read in [(self.process.stdout, self.take), (self.process.stderr, self.errors.append)]:
            threading.Thread(target=self.read, args=(stream, read), daemon=True).start()

    @staticmethod
    def read(stream, take):
        # However it ends: whoever waits for a line says so.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            for line in stream:
                take(line)

    def take(self, line):
        self.frames.append(json.loads(line))

    def begun(self):
        return sum(frame["type"] == "hello" for frame in list(self.frames))

    def alerts(self):
        return [frame["alert"]["id"] for frame in list(self.frames) if frame["type"] == "alert"]

    def told_to_fetch(self):
        return any(frame["type"] == "resync" for frame in list(self.frames))


class Publisher(threading.Thread):
    """Publishes as the documentation asks for: the same id until it is accepted."""

    def __init__(self, url, key):
        super().__init__(daemon=True)
        self.url, self.key, self.accepted, self.refused, self.ends = url, key, [], 0, threading.Event()
        self.wrong = None

    def run(self):
        number = 0
        while not self.ends.wait(PAUSE_S):
            number += 1
            alert = {"id": f"walk-{number}", "to": {"users": PEOPLE}, "title": f"Alert {number}", "severity": "info"}
            while not self.publish(alert):
                self.refused += 1
                if self.ends.wait(PAUSE_S):
                    return
            self.accepted.append(alert["id"])

    def publish(self, alert):
        with contextlib.suppress(OSError):
            status, text = ask(f"{self.url}/v1/alerts", self.key, alert)
            if status in (400, 401, 403, 409, 413, 422):
                self.wrong = f"an alert was refused for good: {status} {text}"
                self.ends.set()
            return status == 202
        return False

    def goes_on(self, alerts=10):
        """Waits until so many more are accepted."""
        wanted = len(self.accepted) + alerts
        until("alerts are accepted", lambda: self.wrong or len(self.accepted) >= wanted)
        self.check()

    def check(self):
        if self.wrong:
            fail(self.wrong)

    def end(self):
        self.ends.set()
        self.join()
        self.check()


class Welcome:
    """What `welcome` printed."""

    def __init__(self, text):
        def found(pattern):
            match = re.search(pattern, text, re.MULTILINE)
            return match[1] if match else fail(f"welcome does not print {pattern}:\n{text}")

        self.page = found(r"Watchbell is up: (\S+)$")
        self.url, self.page_key = self.page.split("/#key=")
        self.key = found(r"^ *Producer key: (\S+)$")
        self.token = found(r"^ *Token of ana: (\S+)$")
        self.tail = found(r"^ +(docker compose exec demo watchbell tail .*)$")
        self.send = found(r"^ +(curl .*)$")
        self.explain = found(r"^ +(docker compose exec demo watchbell explain .*)$")
        self.alert = self.explain.split()[-1]


class Transcript:
    """What a newcomer types, what is answered, and after how many seconds."""

    def __init__(self):
        self.blocks, self.hidden, self.began = [], {}, time.monotonic()

    def hide(self, secret, name):
        self.hidden[secret] = name

    def wrote(self, command, answer, every=lambda line: True):
        """`every` says which lines are kept: what a build says of itself is long."""
        # Compose says some things several times.
        kept = dict.fromkeys(line.rstrip() for line in answer.splitlines() if line.strip() and every(line))
        self.blocks.append((time.monotonic() - self.began, command, kept))

    def typed(self, command, every=lambda line: True):
        began = time.monotonic()
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            fail(f"{command} failed:\n{done.stdout}{done.stderr}")
        answer = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout)
        self.wrote(command, answer, every)
        say(f"{command} took {time.monotonic() - began:.1f} s")
        return answer

    def page(self):
        text = "".join(
            "".join([f"$ {command}\n", *(f"{line}\n" for line in lines), f"# {at:.0f} s since the beginning\n\n"])
            for at, command, lines in self.blocks)
        for secret, name in self.hidden.items():
            text = text.replace(secret, name)
        return text.rstrip() + "\n"


def write_transcript(file, repository):
    """From a clone to an alert on a screen, on the phone and in the mailbox, as a newcomer sees it."""
    transcript = Transcript()
    place = tempfile.mkdtemp(prefix="watchbell-transcript-")
    folder = f"{place}/watchbell"
    transcript.hide(f"file://{repository}", "https://git.example.com/watchbell.git")
    transcript.typed(f"git clone --quiet --depth 1 file://{repository} {folder}")
    transcript.hide(folder, "watchbell")
    os.chdir(folder)
    transcript.wrote("cd watchbell", "")
    try:
        # The engine of the tests has no BuildKit; Compose says on standard error how far it is.
        transcript.typed("DOCKER_BUILDKIT=0 docker compose up --build --detach 2>&1", lambda line: line.rstrip().endswith("Healthy"))
        logs = "docker compose logs --no-log-prefix welcome"
        until("welcome has printed", lambda: "explain" in compose(*logs.split()[2:]))
        welcome = Welcome(transcript.typed(logs))
        for secret, name in [(welcome.page_key, "KEY-OF-THE-PAGE"), (welcome.key, "PRODUCER-KEY"), (welcome.token, "TOKEN-OF-ANA")]:
            transcript.hide(secret, name)
        with subprocess.Popen(shlex.split(welcome.tail), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
            lines = []
            threading.Thread(target=Session.read, args=(tail.stdout, lines.append), daemon=True).start()
            until("tail is signed in", lambda: any("signed in as ana" in line for line in list(lines)))
            transcript.typed(welcome.send)
            until("tail shows the alert", lambda: any(welcome.alert in line for line in list(lines)))
            transcript.wrote(f"{welcome.tail}    # in a second shell, since before", "".join(lines))
            tail.terminate()
        until("the mail is in the mailbox", lambda: arrived(welcome, "email"))
        transcript.typed(welcome.explain)
    finally:
        subprocess.run(["docker", "compose", "down", "--volumes", "--remove-orphans"], capture_output=True, check=False)
        os.chdir("/")
        shutil.rmtree(place, ignore_errors=True)
    with open(file, "w", encoding="utf-8") as out:
        out.write(transcript.page())
    say(f"wrote {file}")


def start(short):
    if not short:
        compose("build", DOCKER_BUILDKIT="1")
        say("docker compose build, with BuildKit")
    compose("up", "--build", "--detach", DOCKER_BUILDKIT="0")
    say("docker compose up --build --detach, without BuildKit")
    # It is the last to start, after everything is healthy.
    text = until("welcome has printed", lambda: (said := compose("logs", "--no-log-prefix", "welcome")) and "explain" in said and said)
    return Welcome(text)


def look_at_the_page(welcome):
    """What the browser does with the printed address."""
    status, html = ask(f"{welcome.url}/")
    if status != 200 or "<html" not in html:
        fail(f"the page is not there: {status} {html[:200]}")
    status, demo = ask(f"{welcome.url}/demo/open", body={"key": welcome.page_key})
    if status != 200 or json.loads(demo)["producer_key"] != welcome.key:
        fail(f"the printed address does not open the page: {status} {demo}")
    if ask(f"{welcome.url}/demo/open", body={"key": welcome.page_key})[0] != 403:
        fail("the printed address opens the page twice")
    if ask(f"{welcome.url}/simulator/arrivals")[0] != 401:
        fail("what arrived is shown without the key")
    for origin, expected in [(welcome.url, 101), ("http://elsewhere.example", 403)]:
        if (status := upgraded(welcome.url, origin)) != expected:
            fail(f"a page of {origin} that opens a WebSocket is answered {status}")
    document = json.loads(ask(f"{welcome.url}/openapi.json")[1])
    if not {"/v1/alerts", "/v1/inbox"} <= document["paths"].keys():
        fail("the document behind HAProxy does not have the whole API")
    say("the page opens, once")
    return {user["user"]: user["token"] for user in json.loads(demo)["users"]}


def arrived(welcome, kind):
    status, text = ask(f"{welcome.url}/simulator/arrivals?user=ana&alert={welcome.alert}", welcome.key)
    return status == 200 and any(arrival["kind"] == kind for arrival in json.loads(text))


def do_as_printed(welcome, short):
    """The three commands, as a shell runs them. Whoever is connected over server-sent events is told as well."""
    request = urllib.request.Request(f"{welcome.url}/v1/sse", headers={"Authorization": f"Bearer {welcome.token}"})
    streamed = []
    stream = urllib.request.urlopen(request, timeout=DEADLINE_S)
    threading.Thread(target=Session.read, args=(stream, streamed.append), daemon=True).start()
    until("a stream of events has begun", lambda: any(b"hello" in line for line in list(streamed)))
    with subprocess.Popen(shlex.split(welcome.tail), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
        lines = []
        threading.Thread(target=Session.read, args=(tail.stdout, lines.append), daemon=True).start()
        until("tail is signed in", lambda: any("signed in as ana" in line for line in list(lines)))
        answer = json.loads(run("bash", "-c", welcome.send))
        if answer["status"] != "accepted":
            fail(f"the printed command sends nothing: {answer}")
        until("tail shows the alert", lambda: any(welcome.alert in line for line in list(lines)))
        until("the stream has the alert", lambda: any(welcome.alert.encode() in line for line in list(streamed)))
        tail.terminate()
    say("the printed commands show an alert on ana's screen")
    until("the push is on the phone", lambda: arrived(welcome, "apns"))
    say("and on her phone")
    if not short:
        until("the mail is in the mailbox", lambda: arrived(welcome, "email"))
        say("and in her mailbox")
    explained = run("bash", "-c", welcome.explain)
    if welcome.alert not in explained or "recorded" not in explained:
        fail(f"the printed command explains nothing: {explained}")


def pods_with_sessions():
    """How many sessions HAProxy has at each pod."""
    with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['WATCHBELL_HAPROXY_PORT']}/;csv", timeout=20) as answer:
        rows = csv.DictReader(io.StringIO(answer.read().decode().lstrip("# ")))
        return {row["svname"]: int(row["scur"]) for row in rows if row["pxname"] == "socket" and row["svname"].startswith("socket-")}


def check_order(session):
    """Frames that carry a number do so in order: nothing is shown twice."""
    numbers = [frame["seq"] for frame in list(session.frames) if frame["type"] == "alert"]
    if numbers != sorted(set(numbers)):
        fail(f"a session of {session.user} had a change twice or out of order: {numbers}")


def container(service):
    return compose("ps", "--all", "--quiet", service).strip()


def process_of(service):
    """The number of the first process, and how often the container was started again."""
    shown = run("docker", "inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", container(service))
    pid, restarts = map(int, shown.split())
    return pid, restarts


def restart_a_pod(publisher, sessions):
    before = [session.begun() for session in sessions]
    compose("restart", "--timeout", "45", "socket-1")
    moved = sum(session.begun() > begun for session, begun in zip(sessions, before))
    if moved == 0:
        fail("socket-1 was restarted and had no sessions")
    until("both pods are back", lambda: len(pods_with_sessions()) == 2)
    publisher.goes_on()
    say(f"socket-1 was drained and started again; {moved} of {len(sessions)} sessions moved")


def kill(services, publisher):
    """Kills the first processes as a crash would. `docker kill` would not do: the engine takes it for the operator's wish."""
    before = {service: process_of(service) for service in services}
    for pid, _ in before.values():
        os.kill(pid, signal.SIGKILL)
    for service in services:
        until(f"{service} is another process", lambda: process_of(service)[0] not in (0, before[service][0]))
    publisher.goes_on()
    say(f"{' and '.join(services)} killed with -9, and back")


def everything_arrives(publisher, sessions):
    publisher.end()
    wanted = set(publisher.accepted)
    for session in sessions:
        # Someone who missed more than a replay holds would fetch the inbox; here nobody misses so much.
        until(f"a session of {session.user} has all {len(wanted)} alerts", lambda: wanted <= set(session.alerts()))
        check_order(session)
        if session.told_to_fetch():
            fail(f"a session of {session.user} was told to fetch its inbox")
    say(f"each of {len(sessions)} sessions has all {len(wanted)} alerts, once and in order; {publisher.refused} publishes were asked to come again")


def nobody_died(before):
    for service, (pid, restarts) in before.items():
        if process_of(service) != (pid, restarts):
            fail(f"{service} did not outlive the others:\n{compose('logs', '--tail', '20', service)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--transcript", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.transcript:
        write_transcript(arguments.transcript, os.getcwd())
        return
    sessions = []
    try:
        welcome = start(arguments.short)
        tokens = look_at_the_page(welcome)
        do_as_printed(welcome, arguments.short)
        for _ in range(SESSIONS):
            sessions += [Session(arguments.binary, welcome.url, user, tokens[user]) for user in PEOPLE]
        until("every session has begun", lambda: all(session.begun() for session in sessions))
        spread = until("both pods have sessions", lambda: (now := pods_with_sessions()) and min(now.values()) > 0 and now)
        say(f"sessions behind HAProxy: {spread}")
        before = {worker: process_of(worker) for worker in WORKERS}
        publisher = Publisher(welcome.url, welcome.key)
        publisher.start()
        publisher.goes_on()
        if arguments.short:
            kill(["rabbitmq", "postgres"], publisher)
        else:
            restart_a_pod(publisher, sessions)
            before["socket-1"] = process_of("socket-1")
            kill(["rabbitmq"], publisher)
            kill(["postgres"], publisher)
        everything_arrives(publisher, sessions)
        nobody_died(before)
    except SystemExit:
        subprocess.run(["docker", "compose", "ps", "--all"], check=False)
        subprocess.run(["docker", "compose", "logs", "--tail", "30"], check=False)
        raise
    finally:
        for session in sessions:
            session.process.kill()
        if arguments.short:
            # Nobody waits for a drain that nobody looks at.
            subprocess.run(["docker", "compose", "kill"], capture_output=True, check=False)
        subprocess.run(["docker", "compose", "down", "--volumes", "--remove-orphans"], capture_output=True, check=False)
        say("taken down")


main()
