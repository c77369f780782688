"""The same as a FastStream service: `pip install "faststream[kafka]"`, then `python read_faststream.py [host:port]`."""

import asyncio
import json
import sys

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

broker = KafkaBroker(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:19092", logger=None)
app = FastStream(broker, logger=None)


async def undecoded(message: KafkaMessage) -> bytes:
    return message.body


# NACK_ON_ERROR: a record whose handling fails comes again; FastStream's default would lose it.
@broker.subscriber(
    "articles.scored",
    group_id="my-faststream-service",
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
    decoder=undecoded,
)
async def show(body: bytes) -> None:
    article = json.loads(body)
    verdict = article["filters"].get("uplifting")
    if verdict and verdict["tier"] in ("medium", "high"):
        print(f"{verdict['weighted']:.1f}  {article['title']}", flush=True)


if __name__ == "__main__":
    asyncio.run(app.run())
