// Node's Socket.IO with rooms of symbols and of users' trades, and connection state recovery, for the delivery benchmark.
//
//     node server.mjs
//
// Says the ports of its clients and of its feed. A line of the feed is a quote for its symbol's room, a trade for its
// user's, or a large portfolio for everybody. Its packages are those of bench/single.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createServer as createFeed } from "node:net";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../../single/peers/node/package.json", import.meta.url));
const { Server } = require("socket.io");
const portfolio = JSON.parse(readFileSync(process.argv[2], "utf8"));

const http = createServer();
const io = new Server(http, {
  pingInterval: 300_000,
  pingTimeout: 300_000,
  connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: false },
  perMessageDeflate: process.env.COMPRESSION === "1" ? { threshold: 1024 } : false,
});
const timestamp = () => new Date().toISOString();

io.on("connection", (socket) => {
  const { userId } = socket.handshake.auth;
  socket.on("subscribe:watchlist", ({ symbols }, done) => {
    socket.join(symbols.map((symbol) => `watchlist:${symbol}`));
    done({ success: true, userId, symbols, failed: [], timestamp: timestamp() });
  });
  socket.on("subscribe:trades", (done) => {
    socket.join(`trades:${userId}`);
    done({ success: true, userId, timestamp: timestamp() });
  });
});

function publish(line) {
  const found = JSON.parse(line);
  if (found.quote !== undefined) {
    const { symbol, quote } = found;
    io.to(`watchlist:${symbol}`).emit("watchlist:quote", { symbol, quote, timestamp: timestamp() });
  } else if (found.trade !== undefined) {
    const { user, trade } = found;
    io.to(`trades:${user}`).emit("trade:executed", { userId: user, trade, timestamp: timestamp() });
  } else {
    const update = { userId: "user-000000", portfolio: { ...portfolio, n: found.portfolio }, timestamp: timestamp() };
    io.emit("portfolio:update", update);
  }
}

const feed = createFeed((socket) => createInterface({ input: socket }).on("line", publish));
feed.listen(0, "127.0.0.1", () =>
  http.listen(0, "127.0.0.1", 2048, () => {
    process.stdout.write(JSON.stringify({ port: http.address().port, feed: feed.address().port }) + "\n");
  }),
);
