// Stock socket.io clients, remote-controlled: one JSON object a line on stdin and stdout.
//
// in:  {id, op, client, ...}          out: {id, ok: true, value} or {id, ok: false, error}
//                                     and, unasked: {client, type, ...}
// Bytes travel as {"$bytes": "<base64>"} both ways. Normal operation uses socket.io-client's public API only;
// "drop" and the raw operations reach below it, since breaking things has no public API.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { Quotes } from "../../../app/tradecast/client/quotes.mjs";

const sockets = new Map();
// What a client acknowledges events with, other than { received: <event> }: arguments, or null for not at all.
const answers = new Map();

// Live quotes, by client: {quotes, handedOut: [[symbol, payload]], stale: [[symbol, is stale]], answers}.
const live = new Map();

function push(message) {
  process.stdout.write(JSON.stringify(message) + "\n");
}

function encode(value) {
  if (value instanceof ArrayBuffer) value = new Uint8Array(value);
  if (ArrayBuffer.isView(value)) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(encode);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)]));
  }
  return value === undefined ? null : value;
}

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value !== null && typeof value === "object") {
    if (typeof value.$bytes === "string") return Buffer.from(value.$bytes, "base64");
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)]));
  }
  return value;
}

function get(message) {
  const socket = sockets.get(message.client);
  if (!socket) throw new Error(`no client ${message.client}`);
  return socket;
}

function transportOf(socket) {
  return socket.io.engine?.transport?.name ?? null;
}

function watch(client, socket) {
  socket.on("connect", () =>
    push({
      client,
      type: "connect",
      sid: socket.id,
      recovered: Boolean(socket.recovered),
      transport: transportOf(socket),
    }),
  );
  socket.on("connect_error", (error) =>
    push({
      client,
      type: "connect_error",
      message: error.message,
      data: encode(error.data),
      // socket.io documents this as the way to tell a refusal by the server from a failure that is retried
      final: !socket.active,
    }),
  );
  socket.on("disconnect", (reason) => push({ client, type: "disconnect", reason, final: !socket.active }));
  socket.onAny((event, ...args) => {
    const answer = typeof args.at(-1) === "function" ? args.pop() : null;
    push({ client, type: "event", event, args: args.map(encode) });
    if (!answer) return;
    if (!answers.has(client)) answer({ received: event });
    else if (answers.get(client) !== null) answer(...answers.get(client));
  });
  socket.io.on("open", () => {
    const engine = socket.io.engine;
    push({ client, type: "open", transport: engine.transport.name });
    engine.on("upgrade", (transport) => push({ client, type: "upgrade", transport: transport.name }));
  });
  socket.io.on("reconnect_attempt", (attempt) => push({ client, type: "reconnect_attempt", attempt }));
  socket.io.on("reconnect_failed", () => push({ client, type: "reconnect_failed" }));
}

const operations = {
  // Start connecting; how it went is told by a notification.
  connect({ client, url, options }) {
    if (sockets.has(client)) throw new Error(`client ${client} exists`);
    const socket = io(url, { ...decode(options ?? {}), forceNew: true, autoConnect: false });
    sockets.set(client, socket);
    watch(client, socket);
    socket.connect();
  },

  // From now on acknowledge events with these arguments; null: with nothing at all.
  answer({ client, args }) {
    answers.set(client, args === null ? null : args.map(decode));
  },

  // Connect again after a disconnect, with other `auth` where given.
  reconnect(message) {
    const socket = get(message);
    if (message.auth !== undefined) socket.auth = decode(message.auth);
    socket.connect();
  },

  async emit(message) {
    const socket = get(message);
    const args = (message.args ?? []).map(decode);
    if (!message.ack) {
      socket.emit(message.event, ...args);
      return null;
    }
    return await new Promise((resolve, reject) => {
      socket.timeout(message.timeout ?? 20000).emit(message.event, ...args, (error, ...answer) => {
        if (error) reject(error);
        else resolve(answer.map(encode));
      });
    });
  },

  // Leave for good, as an application would.
  disconnect(message) {
    get(message).disconnect();
  },

  // Disconnect and forget.
  close(message) {
    const socket = sockets.get(message.client);
    if (!socket) return;
    sockets.delete(message.client);
    live.get(message.client)?.quotes.close();
    live.delete(message.client);
    socket.disconnect();
    socket.io.engine?.close();
  },

  // Lose the connection without a word to the server, as a phone in a tunnel does.
  drop(message) {
    const transport = get(message).io.engine.transport;
    if (transport.ws) {
      transport.ws.terminate();
    } else {
      const poll = transport.pollXhr;
      transport.onClose({ description: "dropped" });
      poll?.abort();
    }
  },

  // Follow quotes with the project's own helper, before the client connects again or at once.
  quotes({ client, symbols, options }) {
    const kept = { handedOut: [], stale: [], answers: [] };
    kept.quotes = new Quotes(get({ client }), {
      onQuote: (symbol, payload) => kept.handedOut.push([symbol, structuredClone(payload)]),
      onStale: (symbol, since) => kept.stale.push([symbol, since !== null]),
      onSubscribed: (symbols, answer) => kept.answers.push([symbols, answer]),
      ...options,
    });
    live.set(client, kept);
    return kept.quotes.subscribe(symbols);
  },

  quotesUnsubscribe({ client, symbols }) {
    return live.get(client).quotes.unsubscribe(symbols);
  },

  quotesState({ client, symbols }) {
    const { quotes, handedOut, stale, answers } = live.get(client);
    const newest = Object.fromEntries(symbols.map((symbol) => [symbol, quotes.get(symbol)]));
    return { newest, handedOut, stale, answers, wanted: [...quotes.wanted], staleNow: [...quotes.stale.keys()] };
  },

  // As if the server had sent it.
  quotesReceive({ client, event, payload }) {
    get({ client }).listeners(event).forEach((listener) => listener(payload));
  },

  state(message) {
    const socket = get(message);
    return {
      connected: socket.connected,
      active: socket.active,
      sid: socket.id ?? null,
      recovered: Boolean(socket.recovered),
      transport: transportOf(socket),
    };
  },

  // A Socket.IO packet as is: text, then binary attachments. Repeated `count` times.
  raw(message) {
    const engine = get(message).io.engine;
    for (let n = 0; n < (message.count ?? 1); n++) {
      for (const part of message.parts.map(decode)) engine.write(part);
    }
  },

  // A WebSocket frame as is, below Engine.IO.
  frame(message) {
    const transport = get(message).io.engine.transport;
    if (!transport.ws) throw new Error("frames need the websocket transport");
    transport.ws.send(decode(message.data));
  },
};

async function handle(line) {
  const message = JSON.parse(line);
  try {
    const operation = operations[message.op];
    if (!operation) throw new Error(`no operation ${message.op}`);
    push({ id: message.id, ok: true, value: encode((await operation(message)) ?? null) });
  } catch (error) {
    push({ id: message.id, ok: false, error: String(error?.message ?? error) });
  }
}

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", handle);
lines.on("close", () => {
  for (const socket of sockets.values()) socket.disconnect();
  process.exit(0);
});
