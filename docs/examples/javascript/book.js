// The book of one symbol, from the messages of a relay: it begins with a key frame, and each update is verified again.
import { crc32 } from "node:zlib";
import { decompress } from "fzstd";

export const token = (text) =>
  text.replace(/[^A-Za-z0-9_-]/gu, (c) => [...Buffer.from(c)].map((b) => `%${b.toString(16).padStart(2, "0")}`.toUpperCase()).join(""));

const parse = (data) => JSON.parse(Buffer.from(data.readUInt32BE(0) === 0x28b52ffd ? decompress(data) : data).toString());

export class Book {
  // Takes a message, and yields each event of the book that is verified; a key frame only where it is needed.
  *take(isKeyFrame, data) {
    if (isKeyFrame && this.levels) return;
    const { v, producer, seq, request, events } = parse(Buffer.from(data));
    if (v !== 1) throw new Error(`a message of version ${v}: this reader knows version 1`);
    if (isKeyFrame) [this.producer, this.next, this.depth] = [producer, seq, request[1].depth];
    else if (producer < this.producer || !this.depth) return; // of an earlier owner, or too early
    else if (producer > this.producer) [this.producer, this.next, this.levels] = [producer, 0, null];
    let number = seq;
    for (const [name, event] of events.flatMap(([name, run]) => run.map((event) => [name, event]))) {
      if (number++ < this.next) continue; // had before
      if (number > this.next + 1) this.levels = null; // missed: the next key frame helps
      this.next = number;
      if (name === "BookSnapshot") this.levels = { bids: new Map(), asks: new Map() };
      if (name === "Gap") this.levels = null; // a snapshot follows
      if (!this.levels) continue;
      const bids = this.side("bids", event, -1);
      const asks = this.side("asks", event, 1);
      const digits = [...asks.slice(0, 10), ...bids.slice(0, 10)].flatMap(({ price, qty }) => [price, qty]);
      const computed = crc32(digits.map((text) => text.replace(".", "").replace(/^0+/, "")).join(""));
      if (computed !== event.checksum) this.levels = null;
      else yield { producer, seq: number - 1, bid: bids[0], ask: asks[0], checksum: computed };
    }
  }

  side(name, event, order) {
    for (const level of event[name]) {
      if (Number(level.qty) === 0) this.levels[name].delete(Number(level.price));
      else this.levels[name].set(Number(level.price), level);
    }
    const best = [...this.levels[name].entries()].sort(([a], [b]) => order * (a - b)).slice(0, this.depth);
    this.levels[name] = new Map(best);
    return best.map(([, level]) => level);
  }
}
