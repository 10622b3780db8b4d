// Hundreds of stock socket.io clients in one process, for tests on a cluster.
//
// in, one JSON object a line:  {op: "add", url, clients: [{sessionID, userId}], perSecond, options, symbol}
//                              {op: "leave", count}     that many disconnect for good
//                              {op: "report"}
// out: {op, ...}, one line for each. Each client subscribes to the symbol whenever it connects, as a page would, and notes when it
// came and went and the numbers (quote.seq) that it got.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const crowd = [];

function join(url, auth, options, symbol) {
  const client = { connects: [], disconnects: [], errors: {}, final: 0, seqs: [], subscribed: false, left: false };
  const socket = io(url, { transports: ["websocket"], ...options, auth, forceNew: true });
  client.socket = socket;
  const note = (name) => (client.errors[name] = (client.errors[name] ?? 0) + 1);
  socket.on("connect", () => {
    client.connects.push(Date.now());
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
  socket.on("watchlist:quote", (event) => client.seqs.push(event.quote.seq));
  crowd.push(client);
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const operations = {
  async add({ url, clients, perSecond, options, symbol }) {
    const begun = Date.now();
    for (const [number, auth] of clients.entries()) {
      const wait = begun + (number * 1000) / perSecond - Date.now();
      if (wait > 0) await sleep(wait);
      join(url, auth, options ?? {}, symbol);
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
        .map(({ socket, left, ...rest }) => ({ connected: socket.connected, ...rest })),
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
