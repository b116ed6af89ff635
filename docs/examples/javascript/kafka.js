// node kafka.js kafka://127.0.0.1:9092/kraken BTC/USD
import { randomUUID } from "node:crypto";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import { Book, token } from "./book.js";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({ decompress: async (data) => Buffer.from(lz4.decompress(data)) });
const url = new URL(process.argv[2]);
const symbol = process.argv[3];
const topic = url.pathname.slice(1) || "kraken";
const kafka = new Kafka({ brokers: [url.host], logLevel: logLevel.ERROR });
// What a relay has published counts, although the transaction that fences its shard stays open.
const consumer = kafka.consumer({ groupId: `reader-${randomUUID()}`, readUncommitted: true });
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
