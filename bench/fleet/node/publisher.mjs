// Publishes numbered events for the servers of server.mjs, from a process without clients.
//
//     node publisher.mjs redis-adapter|streams-adapter REDIS_URL
//
// in:  {op: "publish", first, count, rate, rooms}: events first … first + count - 1, evenly over time
// out: {published, failed, seconds}
//
// Event n goes to room n * STEP % rooms, so whoever counts knows what was due.

import { setTimeout as sleep } from "node:timers/promises";
import { Emitter } from "@socket.io/redis-emitter";
import { obey, redis, say } from "./fleet.mjs";

const STEP = 7919;
const MAX_LENGTH = 10_000;
const [kind, url] = process.argv.slice(2);
const client = await redis(url);
const emitter = new Emitter(client);
let failed = 0;

// There is no emitter for the streams adapter: this is what its adapter.js writes (doPublish, encode).
function append(room, event, payload) {
  const packet = { type: 2, data: [event, payload], nsp: "/" };
  const data = JSON.stringify({ opts: { rooms: [room], except: [], flags: {} }, packet });
  const trim = { strategy: "MAXLEN", strategyModifier: "~", threshold: MAX_LENGTH };
  client.xAdd("socket.io", "*", { uid: "emitter", nsp: "/", type: "3", data }, { TRIM: trim }).catch(() => failed++);
}

const emit = kind === "redis-adapter" ? (room, event, payload) => emitter.to(room).emit(event, payload) : append;

obey({
  async publish({ first, count, rate, rooms }) {
    failed = 0;
    const begun = performance.now();
    for (let sent = 0; sent < count; ) {
      const due = Math.min(count, Math.floor(((performance.now() - begun) / 1000) * rate));
      for (; sent < due; sent++) {
        const n = first + sent;
        emit(`room:${(n * STEP) % rooms}`, "trade:executed", {
          trade: { symbol: "AAPL", side: "buy", quantity: 25, price: 512.34, id: `t-${n}` },
          n,
          at: Number(process.hrtime.bigint()),
        });
      }
      await sleep(1);
    }
    await client.ping(); // behind all of them
    return { published: count, failed, seconds: (performance.now() - begun) / 1000 };
  },
});
say({ ready: true });
