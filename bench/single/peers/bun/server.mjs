// (c) Socket.IO on Bun with its own engine, with the benchmark's three events and no other features.
//
//     bun server.mjs

import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";

const ROOM = "authenticated";
const PORTFOLIO = { totalValue: 125430.5, dayChange: -312.25, dayChangePercent: -0.25 };
const io = new Server();
const engine = new Engine({ path: "/socket.io/", pingInterval: 120_000, pingTimeout: 60_000 });
io.bind(engine);

io.on("connection", (socket) => {
  const { userId } = socket.handshake.auth;
  socket.join(ROOM);
  socket.on("echo", (data, done) => done(data));
  socket.on("subscribe:portfolio", (done) => {
    socket.join(`portfolio:${userId}`);
    const answer = { success: true, userId, timestamp: new Date().toISOString() };
    socket.emit("subscribed:portfolio", answer);
    done(answer);
  });
  socket.on("bench:broadcast", ({ count }) => {
    for (let n = 0; n < count; n++) {
      const update = { userId: "user-000000", portfolio: PORTFOLIO, timestamp: new Date().toISOString() };
      io.to(ROOM).emit("portfolio:update", update);
    }
  });
});

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, ...engine.handler() });
process.stdout.write(JSON.stringify({ port: server.port }) + "\n");
