// Stock socket.io clients that keep a diary of numbered events, for the tests with faults.
//
// in, one JSON object a line:   {op: "add", client, url, auth, options, symbols}
//                               {op: "close", client}
// out, one JSON list a line:    [client, Unix ms, kind, detail, flag, pid?]: a line of a client's diary (faults/proof.py, Entry)
//
// A client with symbols watches them too, and notes the number of each quote that it shows (kind "quote"): as it comes, or
// where it asks for deltas, as tradecast's helper makes it of them.
//
// Each client asks for its two rooms, with an acknowledgement, whenever it connects and is not recovered, and again
// where an answer did not come: as an application would.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

import { Quotes } from "../../app/tradecast/client/quotes.mjs";

const require = createRequire(new URL("../protocol/stock/client.mjs", import.meta.url));
const { io } = require("socket.io-client");

const ROOMS = ["portfolio", "trades"];
const ANSWER_WITHIN = 5000;
const ASK_AGAIN_AFTER = 500;
const sockets = new Map();

function join(client, url, auth, options, symbols) {
  const note = (kind, detail = "", flag = false, ...more) =>
    process.stdout.write(JSON.stringify([client, Date.now(), kind, detail, flag, ...more]) + "\n");
  const socket = io(url, { transports: ["websocket"], ...options, auth, query: { client }, forceNew: true });
  const subscribed = new Set();
  const rooms = [...ROOMS];
  let connection = 0;

  const show = (symbol, quote) => note("quote", symbol, quote.n);
  const quotes = auth.deltas && symbols.length ? new Quotes(socket, { onQuote: (symbol, payload) => show(symbol, payload.quote) }) : null;
  quotes?.subscribe(symbols);
  if (!quotes && symbols.length) {
    rooms.push("watchlist");
    socket.on("watchlist:quote", ({ symbol, quote }) => show(symbol, quote));
  }

  function subscribe(room, ours) {
    socket.timeout(ANSWER_WITHIN).emit(`subscribe:${room}`, room === "watchlist" ? { symbols } : {}, (error, answer) => {
      if (ours !== connection || !socket.connected) return;
      if (!error && answer.success) {
        subscribed.add(room);
        note("subscribed", room);
        return;
      }
      note("note", `subscribe:${room}: ${error ? "no answer" : answer.reason}`);
      setTimeout(() => ours === connection && socket.connected && subscribe(room, ours), ASK_AGAIN_AFTER);
    });
  }

  socket.on("connect", () => {
    connection += 1;
    note("connect", socket.id, Boolean(socket.recovered), typeof socket._pid === "string");
    if (!socket.recovered) subscribed.clear();
    for (const room of rooms) if (!subscribed.has(room)) subscribe(room, connection);
  });
  socket.on("disconnect", (reason) => note("disconnect", reason, !socket.active));
  socket.on("connect_error", (error) => note("refused", error.message, !socket.active));
  socket.onAny((event, payload) => {
    for (const body of Object.values(payload ?? {})) {
      if (typeof body?.proof === "string") note("event", body.proof);
    }
  });
  sockets.set(client, socket);
}

const operations = {
  add: ({ client, url, auth, options, symbols }) => join(client, url, auth, options ?? {}, symbols ?? []),
  close({ client }) {
    sockets.get(client)?.disconnect();
    sockets.delete(client);
  },
};

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", (line) => {
  const message = JSON.parse(line);
  operations[message.op](message);
});
lines.on("close", () => process.exit(0));
