// How a page uses docs/events.d.ts with socket.io-client; tests/static/test_events.py compiles it.
import { io, type Socket } from "socket.io-client";
import type {
  Batch,
  ClientToServerEvents,
  Done,
  Failure,
  Quote,
  ServerToClientEvents,
  Trade,
} from "../../../docs/events";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io("https://push.example.com", {
  auth: { sessionID: "s", userId: "u1" },
});

socket.on("watchlist:quote", ({ symbol, quote, timestamp }) => {
  const price: number | string | null | undefined = quote.price;
  const more: unknown = quote.yield;
  console.log(symbol.toUpperCase(), price, more, timestamp.length);
});
socket.on("trade:executed", ({ userId, trade }) => console.log(userId, trade.side));
socket.on("portfolio:update", ({ portfolio }) => portfolio.positions?.map((position) => position.symbol));
socket.on("market:status", ({ status }) => (typeof status === "string" ? status : status.state));
socket.on("error", ({ code, reason, message }) => console.warn(code, reason, message));
socket.emit("subscribe:watchlist", { symbols: ["AAPL", "BTC_USDT"] }, (answer) => {
  if ("success" in answer) {
    console.log(answer.failed);
  } else {
    console.log(answer.reason);
  }
});
socket.emit("subscribe:watchlist", { symbol: "AAPL" });
socket.emit("subscribe:portfolio");
socket.emit("subscribe:trades", { userId: "u1" });
socket.emit("unsubscribe:trades", null, (answer: Done | Failure) => console.log(answer));
socket.emit("session:refresh", { sessionID: "other" });
const trade: Trade = { symbol: "AAPL", quantity: 5, price: "512.40", venue: "XNAS" };
const quote: Quote = { price: 1 };
const batch: Batch = {
  events: [
    { event: "trade:executed", userId: "u1", trade },
    { event: "watchlist:quote", symbol: "AAPL", quote },
    { event: "market:status", status: "open" },
  ],
  skipInvalid: true,
};
console.log(batch);

// What must not compile.
// @ts-expect-error there is no such event
socket.on("no:such:event", () => undefined);
// @ts-expect-error a quote's price is no boolean
const wrong: Quote = { price: true };
// @ts-expect-error the payload is needed
socket.emit("subscribe:watchlist");
// @ts-expect-error clients do not send this
socket.emit("trade:executed", { userId: "u1", trade: {}, timestamp: "" });
// @ts-expect-error symbols are texts
socket.emit("subscribe:watchlist", { symbols: [5] });
console.log(wrong);
const asked: Promise<Done | Failure> = socket.emitWithAck("subscribe:portfolio", {});
console.log(asked);
