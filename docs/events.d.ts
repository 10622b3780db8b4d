// Written by `make docs` from app/tradecast/events/contract.py, payloads.py and publish.py: change it there.
//
//   import { io, type Socket } from "socket.io-client";
//   import type { ClientToServerEvents, ServerToClientEvents } from "./events";
//   const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io(url, { auth });

/** Several events; they are sent in their order. */
export interface Batch {
  events: (PortfolioUpdate | TradeExecuted | TradeFailed | PositionClosed | Notification | WatchlistQuote | MarketStatus)[];
  /** Send those that follow the schema, though others do not; those are named */
  skipInvalid?: boolean;
}

/** An event for every authenticated client. */
export interface Broadcast {
  /** A name of one's own, and none of this contract's */
  event: string;
  data?: unknown;
  [more: string]: unknown;
}

/** The event was sent to every authenticated client. */
export interface Broadcasted {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  event: string;
  [more: string]: unknown;
}

/** A position that is closed. */
export interface ClosedPosition {
  /** Id of the position */
  id?: string | number | null;
  /** What it was in */
  symbol?: string | null;
  /** How many */
  quantity?: number | string | null;
  /** For how much each was bought */
  averagePrice?: number | string | null;
  /** For how much each was sold */
  exitPrice?: number | string | null;
  /** Profit; a loss is negative */
  realizedProfit?: number | string | null;
  /** Profit in percent of what was paid */
  realizedPercent?: number | string | null;
  /** Of prices and profit, such as USD */
  currency?: string | null;
  /** Why, for people */
  reason?: string | null;
  /** When it was opened */
  openedAt?: string | number | null;
  /** When it was closed */
  closedAt?: string | number | null;
  [more: string]: unknown;
}

/** What the client asked for is done. */
export interface Done {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** One symbol of several that was refused. */
export interface FailedSymbol {
  /** As it was sent, cut at 64 characters */
  symbol: string;
  reason: string;
  message: string;
  [more: string]: unknown;
}

/** What the client asked for is refused, or its session has ended (then there is no `reason`). */
export interface Failure {
  /** SUBSCRIPTION_ERROR, or why the session has ended */
  code: string;
  /** One of the reasons in docs/client.md */
  reason?: string | null;
  /** For people */
  message: string;
  symbols?: string[] | null;
  failed?: FailedSymbol[] | null;
  [more: string]: unknown;
}

/** How the market is. */
export interface Market {
  /** open or closed */
  state?: string | null;
  /** pre-open, open, closed, … */
  phase?: string | null;
  /** Which one */
  market?: string | null;
  /** For people */
  message?: string | null;
  /** When it opens next */
  opensAt?: string | number | null;
  /** When it closes next */
  closesAt?: string | number | null;
  [more: string]: unknown;
}

/** How the market is now. */
export interface MarketMessage {
  status: Market | string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

export interface MarketStatus {
  event: "market:status";
  status: Market | string;
  kind?: "counted" | "latest";
}

/** Something for the user to read. */
export interface Note {
  /** Id of the notification */
  id?: string | number | null;
  /** What it is about, for programs */
  type?: string | null;
  /** info, success, warning or error */
  level?: string | null;
  /** Heading */
  title?: string | null;
  /** Text */
  message?: string | null;
  /** Where it leads */
  url?: string | null;
  [more: string]: unknown;
}

export interface Notification {
  event: "notification";
  userId: string | number;
  notification: Note;
  kind?: "counted";
}

/** Something for the user to read. */
export interface NotificationMessage {
  /** Whose it is */
  userId: string;
  notification: Note;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** Nothing is needed; a userId has to be one's own. */
export interface OwnData {
  userId?: string | number | null;
  [more: string]: unknown;
}

/** A user's portfolio as it is now. */
export interface Portfolio {
  /** What all of it is worth, cash included */
  value?: number | string | null;
  /** Money that is in no position */
  cash?: number | string | null;
  /** Open positions */
  positions?: Position[] | null;
  /** Change of value since the day began */
  dayChange?: number | string | null;
  /** That in percent */
  dayChangePercent?: number | string | null;
  /** Profit of what was sold */
  realizedProfit?: number | string | null;
  /** Profit of what is open */
  unrealizedProfit?: number | string | null;
  /** Of the amounts, such as USD */
  currency?: string | null;
  [more: string]: unknown;
}

/** A user's portfolio has changed. */
export interface PortfolioMessage {
  /** Whose it is */
  userId: string;
  portfolio: Portfolio;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

export interface PortfolioUpdate {
  event: "portfolio:update";
  userId: string | number;
  portfolio: Portfolio;
  kind?: "counted" | "latest";
}

/** A position that is open. */
export interface Position {
  /** What it is in */
  symbol?: string | null;
  /** How many */
  quantity?: number | string | null;
  /** For how much each was bought */
  averagePrice?: number | string | null;
  /** What each is worth */
  price?: number | string | null;
  /** What all are worth */
  value?: number | string | null;
  /** Profit if they were sold; a loss is negative */
  profit?: number | string | null;
  /** That in percent of what was paid */
  profitPercent?: number | string | null;
  [more: string]: unknown;
}

export interface PositionClosed {
  event: "position:closed";
  userId: string | number;
  position: ClosedPosition;
  kind?: "counted";
}

/** A position is closed. */
export interface PositionMessage {
  /** Whose it is */
  userId: string;
  position: ClosedPosition;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** What a symbol is quoted at. */
export interface Quote {
  /** Last price */
  price?: number | string | null;
  /** Highest price that a buyer offers */
  bid?: number | string | null;
  /** Lowest price that a seller asks */
  ask?: number | string | null;
  /** How many at the bid */
  bidSize?: number | string | null;
  /** How many at the ask */
  askSize?: number | string | null;
  /** First price of the day */
  open?: number | string | null;
  /** Highest price of the day */
  high?: number | string | null;
  /** Lowest price of the day */
  low?: number | string | null;
  /** Last price of the day before */
  previousClose?: number | string | null;
  /** price less previousClose */
  change?: number | string | null;
  /** That in percent */
  changePercent?: number | string | null;
  /** How many were traded on the day */
  volume?: number | string | null;
  /** Of the prices, such as USD */
  currency?: string | null;
  /** When it was quoted */
  time?: string | number | null;
  [more: string]: unknown;
}

/** What has changed since the quote with the number before: a JSON merge patch (RFC 7396); null removes a field. */
export interface QuoteDeltaMessage {
  /** Case counts: aapl is not AAPL */
  symbol: string;
  /** The next delta for this symbol has the next number; only for clients that want deltas */
  number: number;
  quote?: Quote | null;
  timestamp?: string | null;
  [more: string]: unknown;
}

/** A symbol's newest quote. */
export interface QuoteMessage {
  /** Case counts: aapl is not AAPL */
  symbol: string;
  quote: Quote;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  number?: number | null;
  [more: string]: unknown;
}

/** An event of before, as it was sent then. */
export interface RecentEvent {
  /** Its name */
  event: string;
  /** What it carried */
  data: unknown;
  [more: string]: unknown;
}

/** A user's newest notifications. */
export interface RecentNotifications {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  /** The newest last */
  recent: RecentEvent[];
  [more: string]: unknown;
}

/** Another session of the same user. */
export interface SessionRefresh {
  sessionID: string;
  [more: string]: unknown;
}

/** The connection is on the other session. */
export interface SessionRefreshed {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  /** When that session ends, in milliseconds since 1970 */
  expiresAt: number;
  [more: string]: unknown;
}

/** Symbols of which this server has had no quote for longer than their maximum age; or has one again. */
export interface StaleMessage {
  /** Those of the client's subscriptions that have changed */
  symbols: string[];
  /** When the newest quote of any of them came, or if `stale` is false, the first new one; as timestamp */
  since: string;
  /** False: quotes come again */
  stale: boolean;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** The subscription is made, and what there was in it before. */
export interface Subscribed {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  /** The newest events of before, the newest last. Absent where that is not known, and from an answer about a subscription that there was already */
  recent?: RecentEvent[] | null;
  [more: string]: unknown;
}

/** A trade that was executed. */
export interface Trade {
  /** Id of the trade */
  id?: string | number | null;
  /** Id of the order that it belongs to */
  orderId?: string | number | null;
  /** What was traded */
  symbol?: string | null;
  /** buy or sell */
  side?: string | null;
  /** How many */
  quantity?: number | string | null;
  /** For how much each */
  price?: number | string | null;
  /** For how much in all */
  amount?: number | string | null;
  /** What it cost beside that */
  fee?: number | string | null;
  /** Of price, amount and fee, such as USD */
  currency?: string | null;
  /** Profit of a sale; a loss is negative */
  realizedProfit?: number | string | null;
  /** Why, for people */
  reason?: string | null;
  /** When */
  executedAt?: string | number | null;
  [more: string]: unknown;
}

export interface TradeExecuted {
  event: "trade:executed";
  userId: string | number;
  trade: Trade;
  kind?: "counted";
}

export interface TradeFailed {
  event: "trade:failed";
  userId: string | number;
  failure: TradeFailure;
  kind?: "counted";
}

/** A trade that was not executed. */
export interface TradeFailure {
  /** Id of the trade */
  id?: string | number | null;
  /** Id of the order that it belongs to */
  orderId?: string | number | null;
  /** What was to be traded */
  symbol?: string | null;
  /** buy or sell */
  side?: string | null;
  /** How many */
  quantity?: number | string | null;
  /** For how much each */
  price?: number | string | null;
  /** Why, for programs */
  code?: string | number | null;
  /** Why, for people */
  reason?: string | null;
  /** When */
  failedAt?: string | number | null;
  [more: string]: unknown;
}

/** A trade was not executed. */
export interface TradeFailureMessage {
  /** Whose it is */
  userId: string;
  failure: TradeFailure;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** A trade was executed. */
export interface TradeMessage {
  /** Whose it is */
  userId: string;
  trade: Trade;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  [more: string]: unknown;
}

/** The same for symbols: `symbol` for one, `symbols` and `failed` for a list. */
export interface WatchlistDone {
  success: true;
  /** Whose it is */
  userId: string;
  /** When the server said it: ISO 8601 in UTC with milliseconds */
  timestamp: string;
  symbol?: string | null;
  symbols?: string[] | null;
  failed?: FailedSymbol[] | null;
  [more: string]: unknown;
}

export interface WatchlistQuote {
  event: "watchlist:quote";
  symbol: string;
  quote: Quote;
  kind?: "counted" | "latest" | "volatile";
}

/** Either one symbol or several. */
export interface WatchlistRequest {
  symbol?: string | null;
  symbols?: string[] | null;
  [more: string]: unknown;
}

/** What comes from the server. A further argument that recovery may add can be ignored. */
export interface ServerToClientEvents {
  "portfolio:update": (message: PortfolioMessage) => void;
  "trade:executed": (message: TradeMessage) => void;
  "trade:failed": (message: TradeFailureMessage) => void;
  "position:closed": (message: PositionMessage) => void;
  "notification": (message: NotificationMessage) => void;
  "watchlist:quote": (message: QuoteMessage) => void;
  "watchlist:quote:delta": (message: QuoteDeltaMessage) => void;
  "watchlist:stale": (message: StaleMessage) => void;
  "market:status": (message: MarketMessage) => void;
  "subscribed:portfolio": (message: Subscribed) => void;
  "unsubscribed:portfolio": (message: Done) => void;
  "subscribed:trades": (message: Subscribed) => void;
  "unsubscribed:trades": (message: Done) => void;
  "subscribed:watchlist": (message: WatchlistDone) => void;
  "unsubscribed:watchlist": (message: WatchlistDone) => void;
  "notifications:recent": (message: RecentNotifications) => void;
  "admin:broadcasted": (message: Broadcasted) => void;
  "session:refreshed": (message: SessionRefreshed) => void;
  "error": (message: Failure) => void;
}

/** What a client may ask for; the last argument gets the answer. */
export interface ClientToServerEvents {
  /** Get one's portfolio. */
  "subscribe:portfolio": (payload?: OwnData | null, answer?: (answer: Subscribed | Failure) => void) => void;
  /** Get it no longer. */
  "unsubscribe:portfolio": (payload?: OwnData | null, answer?: (answer: Done | Failure) => void) => void;
  /** Get one's trades and closed positions. */
  "subscribe:trades": (payload?: OwnData | null, answer?: (answer: Subscribed | Failure) => void) => void;
  /** Get them no longer. */
  "unsubscribe:trades": (payload?: OwnData | null, answer?: (answer: Done | Failure) => void) => void;
  /** Get quotes. */
  "subscribe:watchlist": (payload: WatchlistRequest, answer?: (answer: WatchlistDone | Failure) => void) => void;
  /** Get them no longer. */
  "unsubscribe:watchlist": (payload: WatchlistRequest, answer?: (answer: WatchlistDone | Failure) => void) => void;
  /** Get one's newest notifications. */
  "notifications:recent": (payload?: OwnData | null, answer?: (answer: RecentNotifications | Failure) => void) => void;
  /** Send an event to everybody (admins). */
  "admin:broadcast": (payload: Broadcast, answer?: (answer: Broadcasted | Failure) => void) => void;
  /** Move the connection to another session of the same user. */
  "session:refresh": (payload: SessionRefresh, answer?: (answer: SessionRefreshed | Failure) => void) => void;
}
