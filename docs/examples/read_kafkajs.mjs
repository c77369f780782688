// The same in JavaScript: npm install kafkajs fzstd, then node read_kafkajs.mjs [host:port]
import kafkajs from "kafkajs";
import { decompress } from "fzstd";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

// Our records are compressed with zstd, which kafkajs leaves to a library of your choice.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ decompress: async (bytes) => Buffer.from(decompress(bytes)) });

const kafka = new Kafka({ brokers: [process.argv[2] ?? "127.0.0.1:19092"], logLevel: logLevel.ERROR });
// The embedded broker makes a new group wait about as long as its session timeout.
const consumer = kafka.consumer({ groupId: "my-kafkajs-reader", sessionTimeout: 6000 });
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (!payload.restart) process.exitCode = 1;
});

await consumer.connect();
await consumer.subscribe({ topic: "articles.scored", fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const article = JSON.parse(message.value.toString());
    const verdict = article.filters.uplifting;
    if (verdict && ["medium", "high"].includes(verdict.tier)) {
      console.log(`${verdict.weighted.toFixed(1)}  ${article.title}`);
    }
  },
});
