"""Articles of your own into the stream: `pip install aiokafka`, then `python publish_aiokafka.py [host:port]`."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaProducer

ARTICLE = {
    "id": "bridge-2026-11",  # yours, or left out: then the hash of title and text
    "title": "Village reopens its footbridge",
    "text": "After two winters of detours the residents of Oberau rebuilt the bridge themselves, engineers confirmed.",
    "url": "https://news.example/bridge",
    "source": "Valley Voice",
    "language": "en",
    "published": "2026-11-24T08:00:00Z",
}


async def main(bootstrap: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        # The key is the article's id: all versions of one article stay in order, on one partition.
        await producer.send_and_wait("articles.raw", json.dumps(ARTICLE).encode(), key=ARTICLE["id"].encode())
    finally:
        await producer.stop()
    print(f"published {ARTICLE['id']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:19092"))
