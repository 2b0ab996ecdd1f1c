"""Publishes an alert to Watchbell over HTTP, and ends it.

    python http_producer.py fire example-python-http ana
    python http_producer.py resolve example-python-http

Reads WATCHBELL_URL and WATCHBELL_KEY from its environment. Needs httpx.
"""

import os
import random
import sys
import time

import httpx

TRIES_MAX = 8
WAIT_MIN_S = 0.25
WAIT_MAX_S = 30.0
# Nothing that comes from us: the alert may or may not have been accepted, and publishing it again is harmless.
TRY_AGAIN = {429, 502, 503, 504}


def publish(client: httpx.Client, alert: dict) -> dict:
    """Returns once the alert is durable (202). Every try has the same id, so however many arrive, it is told once."""
    for failed in range(TRIES_MAX):
        if failed:
            time.sleep(wait)
        wait = random.uniform(0, min(WAIT_MAX_S, WAIT_MIN_S * 2**failed))
        try:
            response = client.post("/v1/alerts", json=alert)
        except httpx.TransportError as error:
            reason = str(error)
            continue
        if response.status_code == 202:
            return response.json()
        reason = f"{response.status_code} {problem_of(response)}"
        if response.status_code not in TRY_AGAIN:
            break  # What is wrong with the alert stays wrong: `field` and `detail` say what it is.
        retry_after = response.headers.get("Retry-After", "")
        if retry_after.isdecimal():  # Never sooner than we were asked to.
            wait += min(WAIT_MAX_S, float(retry_after))
    raise RuntimeError(f"{alert['id']} was not accepted: {reason}")


def problem_of(response: httpx.Response) -> str:
    """What the answer says is wrong, in one line."""
    try:
        problem = response.json()
        return f"{problem['field']}: {problem['detail']}" if "field" in problem else problem["detail"]
    except (ValueError, KeyError, TypeError):  # Not from Watchbell, such as a page of a proxy.
        return response.reason_phrase


def main() -> None:
    action, alert_id, *users = sys.argv[1:]
    alert = {"id": alert_id, "title": "Disk full on db-1", "severity": "critical"}
    if action == "fire":
        alert |= {"version": 1, "status": "firing", "to": {"users": users}}
    else:
        # A later version needs no audience: it reaches everybody who holds the alert.
        alert |= {"version": 2, "status": "resolved", "to": {}}
    headers = {"Authorization": f"Bearer {os.environ['WATCHBELL_KEY']}"}
    with httpx.Client(base_url=os.environ["WATCHBELL_URL"], headers=headers, timeout=10) as client:
        answer = publish(client, alert)
    print(f"accepted {answer['id']} version {answer['version']}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
