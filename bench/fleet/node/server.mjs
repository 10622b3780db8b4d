// A server of Node's Socket.IO with one of its adapters, as their documentation sets them up. Clients join rooms by name.
//
//     node server.mjs redis-adapter|streams-adapter REDIS_URL

import { createServer } from "node:http";
import { createAdapter as createRedisAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Server } from "socket.io";
import { connected, redis, say } from "./fleet.mjs";

const [kind, url] = process.argv.slice(2);
const client = await redis(url);
const options = { transports: ["websocket"], pingInterval: 25_000, pingTimeout: 20_000 };
if (kind === "redis-adapter") {
  options.adapter = createRedisAdapter(client, await connected(client.duplicate()));
} else {
  options.adapter = createStreamsAdapter(client);
  options.connectionStateRecovery = { maxDisconnectionDuration: 120_000, skipMiddlewares: true };
}

const http = createServer();
const io = new Server(http, options);
io.on("connection", (socket) => {
  socket.on("join", async (rooms, done) => {
    await socket.join(rooms);
    done({ joined: rooms.length });
  });
});
http.listen(0, "127.0.0.1", () => say({ port: http.address().port }));
