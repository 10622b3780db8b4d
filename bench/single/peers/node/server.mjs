// (b) Node's Socket.IO with an application that does what tradecast does.
//
//     node server.mjs SESSIONS COUNT
//
// Makes COUNT sessions in its memory, and writes them to SESSIONS: an id and a user's id a line. Then says its port.
// `bench:broadcast {count}` sends so many portfolio updates to all clients.

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";
import { Limits } from "./limits.mjs";
import { connected, connections, disconnected, ofEvent } from "./metrics.mjs";

const DAY = 86_400_000;
const PORTFOLIO = { totalValue: 125430.5, dayChange: -312.25, dayChangePercent: -0.25 };
const [path, count] = process.argv.slice(2);

const sessions = new Map();
const lines = [];
for (let number = 0; number < Number(count); number++) {
  const id = randomBytes(24).toString("base64url");
  const user = `user-${String(number).padStart(6, "0")}`;
  const text = JSON.stringify({
    cookie: { expires: new Date(Date.now() + DAY).toISOString(), originalMaxAge: DAY },
    passport: { user: { id: user, name: "A. Trader", email: "trader@example.com", subscriptionTier: "premium" } },
  });
  sessions.set(id, text);
  lines.push(`${id} ${user}\n`);
}
writeFileSync(path, lines.join(""));

const limits = new Limits();
const http = createServer();
const io = new Server(http, {
  pingInterval: 120_000,
  pingTimeout: 60_000,
  connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: false },
});

// https://socket.io/docs/v4/memory-usage/ : the first request is kept for nothing.
io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});

function refusal(code) {
  const error = new Error(code);
  error.data = { code };
  return error;
}

io.use((socket, next) => {
  const { sessionID, userId } = socket.handshake.auth;
  const text = sessions.get(sessionID);
  if (text === undefined) return next(refusal("SESSION_NOT_FOUND"));
  const session = JSON.parse(text);
  if (Date.parse(session.cookie.expires) <= Date.now()) return next(refusal("SESSION_EXPIRED"));
  const user = session.passport?.user;
  if (user?.id !== userId) return next(refusal("USER_MISMATCH"));
  if (!limits.holdConnection(user.id, socket.id)) return next(refusal("TOO_MANY_CONNECTIONS"));
  socket.data.user = { id: user.id, isAdmin: user.isAdmin === true, tier: user.subscriptionTier ?? "free" };
  next();
});

const figuresOf = Object.fromEntries(
  ["echo", "subscribe:portfolio", "bench:broadcast"].map((event) => [event, ofEvent(event)]),
);
const failed = (reason, message) => ({ code: "SUBSCRIPTION_ERROR", reason, message });

io.on("connection", (socket) => {
  const { user } = socket.data;
  connected.inc();
  connections.inc();
  socket.join(["market:status", `user:${user.id}`, "authenticated"]);

  // What every event goes through: counted, limited, timed.
  const handle = (event, handler) =>
    socket.on(event, (...args) => {
      const done = typeof args.at(-1) === "function" ? args.pop() : () => {};
      const begun = performance.now();
      const figures = figuresOf[event];
      figures.received.inc();
      if (limits.hit(user.id, event)) done(handler(args[0]));
      else {
        figures.limited.inc();
        const answer = failed("RATE_LIMITED", "Rate limit exceeded");
        socket.emit("error", answer);
        done(answer);
      }
      figures.duration.observe((performance.now() - begun) / 1000);
    });

  handle("echo", (data) => data);
  handle("subscribe:portfolio", (data) => {
    const refuse = (reason, message) => {
      const answer = failed(reason, message);
      socket.emit("error", answer);
      return answer;
    };
    if (data?.userId !== undefined && data.userId !== user.id) return refuse("USER_MISMATCH", "Your own data only");
    const room = `portfolio:${user.id}`;
    if (!limits.holdSubscription(user.id, `${socket.id}|${room}`)) {
      return refuse("QUOTA_EXCEEDED", "A user has at most 50 subscriptions");
    }
    socket.join(room);
    const answer = { success: true, userId: user.id, timestamp: new Date().toISOString() };
    socket.emit("subscribed:portfolio", answer);
    return answer;
  });
  handle("bench:broadcast", ({ count }) => {
    for (let n = 0; n < count; n++) {
      const update = { userId: "user-000000", portfolio: PORTFOLIO, timestamp: new Date().toISOString() };
      io.to("authenticated").emit("portfolio:update", update);
    }
  });

  socket.on("disconnect", (reason) => {
    disconnected.inc({ reason });
    connections.dec();
    limits.giveBack(user.id, socket.id);
  });
});

http.listen(0, "127.0.0.1", 2048, () => {
  process.stdout.write(JSON.stringify({ port: http.address().port }) + "\n");
});
