// node nats.js nats://127.0.0.1:4222/kraken BTC/USD
import { connect } from "@nats-io/transport-node";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { Book, token } from "./book.js";

const url = new URL(process.argv[2]);
const symbol = process.argv[3];
const stream = url.pathname.slice(1) || "kraken";
const connection = await connect({ servers: url.host });
const consumer = await jetstream(connection).consumers.get(stream, {
  filter_subjects: [`${stream}.*.book.${token(symbol)}`, `${stream}.*.key.book.${token(symbol)}`],
  deliver_policy: DeliverPolicy.New,
});
const book = new Book();
for await (const message of await consumer.consume()) {
  const isKeyFrame = message.subject.split(".")[2] === "key";
  for (const event of book.take(isKeyFrame, message.data)) console.log(JSON.stringify(event));
}
