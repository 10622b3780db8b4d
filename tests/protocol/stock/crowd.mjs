// Hundreds of stock socket.io clients in one process, for tests on a cluster.
//
// in, one JSON object a line:  {op: "add", url, clients: [{sessionID, userId}], perSecond, options, symbol, event}
//                              {op: "leave", count}     that many disconnect for good
//                              {op: "report"}
// out: {op, ...}, one line for each. Each client subscribes to the symbol whenever it connects anew, as a page would, and notes when
// it came and went, whether it could go on where it was, and the numbers (seq) of the event that it got.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const crowd = [];

function join(url, auth, options, symbol, event) {
  const client = { connects: [], disconnects: [], errors: {}, final: 0, seqs: [], subscribed: false, left: false, unrecovered: 0 };
  const socket = io(url, { ...options, auth, forceNew: true });
  client.socket = socket;
  const note = (name) => (client.errors[name] = (client.errors[name] ?? 0) + 1);
  socket.on("connect", () => {
    client.connects.push(Date.now());
    if (socket.recovered) return;
    if (client.connects.length > 1) client.unrecovered += 1;
    client.subscribed = false;
    socket.emit("subscribe:watchlist", { symbol }, () => (client.subscribed = true));
  });
  socket.on("disconnect", (reason) => {
    if (!client.left) client.disconnects.push([Date.now(), reason]);
    if (!socket.active && !client.left) client.final += 1;
  });
  socket.on("connect_error", (error) => {
    note(error.message);
    if (!socket.active) client.final += 1;
  });
  socket.on(event, ({ seq }) => client.seqs.push(seq));
  crowd.push(client);
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const operations = {
  async add({ url, clients, perSecond, options, symbol, event }) {
    const begun = Date.now();
    for (const [number, auth] of clients.entries()) {
      const wait = begun + (number * 1000) / perSecond - Date.now();
      if (wait > 0) await sleep(wait);
      join(url, auth, options ?? {}, symbol, event);
    }
    return { clients: crowd.length };
  },
  leave({ count }) {
    const staying = crowd.filter((client) => !client.left);
    for (const client of staying.slice(0, count)) {
      client.left = true;
      client.socket.disconnect();
    }
    return { clients: staying.length - Math.min(count, staying.length) };
  },
  report() {
    return {
      clients: crowd
        .filter((client) => !client.left)
        .map(({ socket, left, ...rest }) => ({
          connected: socket.connected,
          transport: socket.io.engine?.transport?.name ?? null,
          ...rest,
        })),
    };
  },
};

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", async (line) => {
  const message = JSON.parse(line);
  try {
    console.log(JSON.stringify({ op: message.op, ...(await operations[message.op](message)) }));
  } catch (error) {
    console.log(JSON.stringify({ op: message.op, error: String(error) }));
  }
});
lines.on("close", () => process.exit(0));
