// The same in JavaScript: npm install kafkajs, then node read_kafkajs.mjs [host:port]
import { Kafka, logLevel } from "kafkajs";

const kafka = new Kafka({ brokers: [process.argv[2] ?? "127.0.0.1:19092"], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: "my-kafkajs-reader" });

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
