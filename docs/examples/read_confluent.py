"""The same with confluent-kafka: `pip install confluent-kafka`, then `python read_confluent.py [host:port]`."""

import json
import sys

from confluent_kafka import Consumer

consumer = Consumer(
    {
        "bootstrap.servers": sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:19092",
        "group.id": "my-confluent-reader",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,  # the embedded broker makes a new group wait about as long
    }
)
consumer.subscribe(["articles.scored"])
try:
    while True:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            print(record.error(), file=sys.stderr)
            continue
        article = json.loads(record.value())
        verdict = article["filters"].get("uplifting")
        if verdict and verdict["tier"] in ("medium", "high"):
            print(f"{verdict['weighted']:.1f}  {article['title']}", flush=True)
        consumer.commit(record)
except KeyboardInterrupt:
    print("Stopped; what was committed is not read again.", file=sys.stderr)
finally:
    consumer.close()
