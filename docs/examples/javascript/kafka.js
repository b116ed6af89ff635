// node kafka.js kafka://127.0.0.1:9092/kraken BTC/USD
import { randomUUID } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";
import { Book, token } from "./book.js";

const url = new URL(process.argv[2]);
const symbol = process.argv[3];
const topic = url.pathname.slice(1) || "kraken";
const kafka = new Kafka({ brokers: [url.host], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `reader-${randomUUID()}` });
const book = new Book();
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: false });
await consumer.run({
  eachMessage: async ({ message }) => {
    const [, ...kind] = message.headers.subject.toString().split(".");
    if (kind.slice(-2).join(".") !== `book.${token(symbol)}`) return;
    for (const event of book.take(kind[0] === "key", message.value)) console.log(JSON.stringify(event));
  },
});
