"""Hears from Watchbell what became of alerts, over RabbitMQ.

    python outcomes.py my-backend.outcomes

Reads WATCHBELL_AMQP_URL from its environment. Needs pika, and `outcomes.enabled` in Watchbell's configuration.
"""

import json
import os
import sys
from collections import OrderedDict

import pika

EXCHANGE = "watchbell.outcomes"
# A program that has to act once and no more keeps the ids where it keeps what it does, in the same transaction.
REMEMBERED_MAX = 100_000
# Deliveries in hand at once.
PREFETCH = 100


def main() -> None:
    queue = sys.argv[1]
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["WATCHBELL_AMQP_URL"]))
    channel = connection.channel()
    # A replicated queue of one's own: outcomes of now on wait in it while this program is away, a million at the most.
    arguments = {"x-queue-type": "quorum", "x-max-length": 1_000_000}
    channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.queue_bind(queue, EXCHANGE)
    channel.basic_qos(prefetch_count=PREFETCH)
    known: OrderedDict[str, None] = OrderedDict()
    for method, properties, body in channel.consume(queue):
        outcome = json.loads(body)
        # At least once: the same outcome may come again, with the same id.
        if outcome["id"] not in known:
            known[outcome["id"]] = None
            if len(known) > REMEMBERED_MAX:
                known.popitem(last=False)
            print(outcome["outcome"], outcome["alert"], outcome["user"], outcome.get("channel", ""), flush=True)
        channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    main()
