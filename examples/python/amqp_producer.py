"""Publishes an alert to Watchbell over RabbitMQ, and ends it.

    python amqp_producer.py fire example-python-amqp ana
    python amqp_producer.py resolve example-python-amqp

Reads WATCHBELL_AMQP_URL and WATCHBELL_TENANT from its environment. Needs pika.
"""

import json
import os
import random
import sys
import time

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

EXCHANGE = "watchbell.alerts"
TRIES_MAX = 8
WAIT_MIN_S = 0.25
WAIT_MAX_S = 30.0


def publish(url: str, alert: dict) -> None:
    """Returns once the broker has confirmed the alert. A program that publishes often keeps the connection."""
    properties = pika.BasicProperties(
        message_id=f"{alert['id']}.{alert['version']}",
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
    )
    for failed in range(TRIES_MAX):
        if failed:
            time.sleep(random.uniform(0, min(WAIT_MAX_S, WAIT_MIN_S * 2**failed)))
        try:
            connection = pika.BlockingConnection(pika.URLParameters(url))
            try:
                channel = connection.channel()
                # From here on `basic_publish` returns when the alert is in a replicated queue, or raises.
                channel.confirm_delivery()
                # `mandatory`: an exchange without a queue gives it back instead of dropping it.
                channel.basic_publish(EXCHANGE, "", json.dumps(alert).encode(), properties, mandatory=True)
                return
            finally:
                if connection.is_open:
                    connection.close()
        except (AMQPError, NackError, UnroutableError, OSError) as error:
            # It may have arrived all the same. The id and the version stay, so that publishing again is harmless.
            reason = f"{type(error).__name__} {error}"
    raise RuntimeError(f"{alert['id']} was not confirmed: {reason}")


def main() -> None:
    action, alert_id, *users = sys.argv[1:]
    alert = {
        "tenant": os.environ["WATCHBELL_TENANT"],
        "id": alert_id,
        "title": "Disk full on db-1",
        "severity": "critical",
    }
    if action == "fire":
        alert |= {"version": 1, "status": "firing", "to": {"users": users}}
    else:
        # A later version needs no audience: it reaches everybody who holds the alert.
        alert |= {"version": 2, "status": "resolved", "to": {}}
    publish(os.environ["WATCHBELL_AMQP_URL"], alert)
    print(f"accepted {alert_id} version {alert['version']}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
