"""Good news as it is scored, with aiokafka: `pip install aiokafka`, then `python read_aiokafka.py [host:port]`."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str) -> None:
    consumer = AIOKafkaConsumer(
        "articles.scored",
        bootstrap_servers=bootstrap,
        group_id="my-newsletter",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    seen: set[str] = set()
    try:
        async for record in consumer:
            article = json.loads(record.value)
            # Delivery is at-least-once: the same article may come again, always with the same bytes.
            if article["id"] not in seen:
                seen.add(article["id"])
                verdict = article["filters"].get("uplifting")
                if verdict and verdict["tier"] in ("medium", "high"):
                    print(f"{verdict['weighted']:.1f}  {article['title']}", flush=True)
            await consumer.commit()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:19092"))
