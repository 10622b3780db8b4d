// The demo page: a standard socket.io-client, which shows what it receives. Data is only ever set as text.
/* global io */

import { QuoteChart, ValueChart } from "./chart.js";
import {
  arrow, direction, formatCompact, formatDay, formatMoney, formatPercent, formatRoundMoney, formatSignedMoney,
  formatTime, formatWhole,
} from "./format.js";
import { Quotes } from "./quotes.mjs";

const COMPANIES = { AAPL: "Apple", FB: "Facebook", GOOG: "Google", IBM: "IBM", MSFT: "Microsoft" };
const SYMBOLS = Object.keys(COMPANIES);
const STORAGE = "tradecast-demo-login";
const MOST_ITEMS = 60;
const ACK_TIMEOUT = 10_000;
// The feed quotes each symbol at least once a second while the market is open.
const STALE_AFTER = 5_000;
// Below the page, wherever a proxy has put that.
const SOCKET_PATH = new URL(document.querySelector('meta[name="socket-path"]').content, document.baseURI).pathname;

const byId = (id) => document.getElementById(id);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value, fallback = "") => (typeof value === "string" ? value.slice(0, 500) : fallback);

let login = null; // {sessionID, userId, userName, tier, isAdmin}
let socket = null;
let quotes = null;
let wanted = new Set(SYMBOLS);
let endedBecause = null; // the server said why it is about to end the session
let outage = false;
let switching = 0;

// ---------------------------------------------------------------------------------------------- requests

async function request(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(text(answer.error, `The server answered ${response.status}`));
  return answer;
}

// The closes before the replayed day, for cards that no quotes keep up to date.
async function loadHistory() {
  await Promise.all([...cards.values()].filter((card) => card.last === null).map(async (card) => {
    try {
      const answer = await request(`demo/history?symbol=${encodeURIComponent(card.symbol)}&days=20`);
      card.showHistory(answer.closes.map((day) => day.close), answer.date);
      if (byId("replay-date").dateTime === "") showDate(answer.date);
    } catch {
      // The chart then begins with the quotes that come.
    }
  }));
}

// ---------------------------------------------------------------------------------------------- log-in

function remember(value) {
  login = value;
  try {
    if (value) sessionStorage.setItem(STORAGE, JSON.stringify(value));
    else sessionStorage.removeItem(STORAGE);
  } catch {
    // Without storage a reload needs another log-in.
  }
}

function remembered() {
  try {
    const value = JSON.parse(sessionStorage.getItem(STORAGE));
    return isObject(value) && typeof value.sessionID === "string" && typeof value.userId === "string" ? value : null;
  } catch {
    return null;
  }
}

async function logInAs(user) {
  const turn = ++switching;
  const before = login;
  hideBanner();
  leave();
  clearBoard();
  showConnection("connecting", "Logging in");
  if (before) request("demo/logout", { sessionID: before.sessionID }).catch(() => {});
  try {
    const answer = await request("demo/login", { user });
    if (turn !== switching) {
      // Another button was pressed meanwhile.
      request("demo/logout", { sessionID: answer.sessionID }).catch(() => {});
      return;
    }
    remember(answer);
    enter();
  } catch (error) {
    if (turn !== switching) return;
    remember(null);
    showUser();
    showConnection("offline", "Not connected");
    showBanner("Log-in failed.", error.message, user);
  }
}

function logOut() {
  switching += 1;
  const before = login;
  leave();
  remember(null);
  clearBoard();
  hideBanner();
  showUser();
  showConnection("offline", "Logged out");
  if (before) request("demo/logout", { sessionID: before.sessionID }).catch(() => {});
  byId("welcome").querySelector("button").focus();
}

// ---------------------------------------------------------------------------------------------- connection

function leave() {
  if (!socket) return;
  quotes.close();
  held.clear();
  socket.offAny();
  socket.off();
  socket.io.off();
  socket.disconnect();
  socket = null;
}

function enter() {
  showUser();
  showConnection("connecting", "Connecting");
  endedBecause = null;
  outage = false;
  const { sessionID, userId } = login;
  // Polling first and then WebSocket, as by default; WebSocket at once where the server offers nothing else. No server
  // has WebTransport, and the attempt ends in an uncaught error where there is no network.
  const transports = ["polling", "websocket"];
  const auth = { sessionID, userId, deltas: true };
  socket = io({ path: SOCKET_PATH, auth, forceNew: true, transports, tryAllTransports: true });
  quotes = new Quotes(socket, {
    onQuote: (symbol, message) => { if (isObject(message.quote)) cards.get(symbol)?.show(message.quote); },
    onStale: (symbol, since) => cards.get(symbol)?.setStale(since),
    onSubscribed: (symbols, answer) => showSubscribed(symbols, answer),
    maxAge: STALE_AFTER,
    answerTimeout: ACK_TIMEOUT,
  });
  quotes.subscribe(wanted); // once it is connected

  socket.on("connect", () => {
    outage = false;
    hideBanner();
    showTransport();
    socket.io.engine.on("upgrade", showTransport);
    if (socket.recovered) return;
    ask("subscribe:portfolio");
    showRecent("subscribe:trades", ["trade:executed", "trade:failed", "position:closed"]);
    showRecent("notifications:recent", ["notification"]);
    for (const symbol of quotes.wanted) cards.get(symbol).asking(true);
  });
  socket.on("connect_error", (error) => {
    if (socket.active) {
      // The way is broken, not the log-in; the client tries again by itself.
      showConnection("reconnecting", "Reconnecting");
      if (!outage) {
        outage = true;
        refused("connect_error", "NO_CONNECTION", "", `${error.message}. Trying again by itself.`);
      }
      return;
    }
    const code = text(error.data?.code, "REFUSED");
    refused("connect_error", code, "", error.message);
    ended(code, error.message);
  });
  socket.on("disconnect", (reason) => {
    for (const card of cards.values()) card.waiting();
    if (reason === "io server disconnect") {
      const why = endedBecause ?? { code: "DISCONNECTED", message: "The server ended the connection" };
      ended(why.code, why.message);
    } else {
      outage = true;
      showConnection("reconnecting", "Reconnecting");
      refused("disconnect", "CONNECTION_LOST", reason, "The connection was lost. Trying again by itself.");
    }
  });
  socket.io.on("reconnect_attempt", (attempt) => showConnection("reconnecting", `Reconnecting, try ${attempt}`));

  socket.on("error", (error) => {
    if (!isObject(error)) return;
    if (error.code !== "SUBSCRIPTION_ERROR") endedBecause = error;
    refused(text(error.event, "error"), text(error.code, "ERROR"), text(error.reason), text(error.message));
  });

  for (const event of Object.keys(HANDLERS)) {
    socket.on(event, (data) => {
      if (held.has(event)) held.get(event).push({ event, data });
      else handle(event, data);
    });
  }
  socket.onAny((event, data) => {
    if (!Object.hasOwn(HANDLERS, event) && !ANSWERS.test(event) && !QUOTES.test(event)) announce(event, data);
  });
}

// The server's answers, shown where the question was asked.
const ANSWERS =
  /^(?:error|(?:un)?subscribed:(?:portfolio|trades|watchlist)|notifications:recent|admin:broadcasted|session:refreshed)$/;

const QUOTES = /^watchlist:(?:quote|quote:delta|stale)$/; // for `quotes`

const HANDLERS = {
  "market:status": (message) => { if (isObject(message?.status)) showMarket(message.status); },
  "portfolio:update": (message) => { if (isObject(message?.portfolio)) showPortfolio(message.portfolio); },
  "trade:executed": (message) => { if (isObject(message?.trade)) showTrade(message.trade, message.timestamp); },
  "trade:failed": (message) => { if (isObject(message?.failure)) showFailure(message.failure, message.timestamp); },
  "position:closed": (message) => { if (isObject(message?.position)) showClosed(message.position, message.timestamp); },
  notification: (message) => {
    if (isObject(message?.notification)) showNotification(message.notification, message.timestamp);
  },
};

function ask(event, ...payload) {
  const asked = socket;
  return new Promise((resolve) => {
    asked.timeout(ACK_TIMEOUT).emit(event, ...payload, (error, answer) => {
      if (asked !== socket) return; // somebody else is logged in by now
      if (error) resolve({ success: false, message: "The server did not answer" });
      else resolve(isObject(answer) ? answer : { success: false, message: "The server's answer makes no sense" });
    });
  });
}

const LISTED = new Set(["trade:executed", "trade:failed", "position:closed", "notification"]);
const MOST_SEEN = 500;
// What the lists have had, so that nothing is shown twice.
const seen = new Set();
// Events that come while an answer is awaited which has those before them, and perhaps these: by name.
const held = new Map();

const contentOf = (event, data) => JSON.stringify([event, data]);

function handle(event, data) {
  if (LISTED.has(event)) {
    seen.add(contentOf(event, data));
    if (seen.size > MOST_SEEN) seen.delete(seen.values().next().value);
  }
  HANDLERS[event](data);
}

// After a reload, or a connection that was not recovered: what happened before is in the answer, the newest last.
async function showRecent(question, events) {
  const late = [...(held.get(events[0]) ?? [])];
  for (const event of events) held.set(event, late);
  const answer = await ask(question);
  if (held.get(events[0]) !== late) return; // it was asked once more meanwhile
  for (const event of events) held.delete(event);
  const recent = Array.isArray(answer.recent) ? answer.recent.filter((one) => events.includes(one?.event)) : [];
  for (const { event, data } of recent) if (!seen.has(contentOf(event, data))) handle(event, data);
  const answered = new Set(recent.map(({ event, data }) => contentOf(event, data)));
  for (const { event, data } of late) if (!answered.has(contentOf(event, data))) handle(event, data);
}

async function setQuotes(symbol, on) {
  const asked = quotes;
  cards.get(symbol).asking(on);
  const answer = await (on ? quotes.subscribe([symbol]) : quotes.unsubscribe([symbol]));
  if (asked !== quotes) return; // somebody else is logged in by now
  if (on) showSubscribed([symbol], answer);
  else cards.get(symbol).subscribed(false);
}

function showSubscribed(symbols, answer) {
  const refused = new Map(answer.failed.map((one) => [one.symbol, one]));
  for (const symbol of symbols) {
    const why = refused.get(symbol);
    if (why) cards.get(symbol).refused(text(why.reason) || text(why.message, "no reason given"));
    else cards.get(symbol).subscribed(true);
  }
}

function ended(code, message) {
  const user = login?.userId;
  leave();
  remember(null);
  showConnection("offline", "Session ended");
  for (const card of cards.values()) card.waiting();
  showBanner("The server ended this session.", `${text(message)} (${text(code)})`, user);
}

// ---------------------------------------------------------------------------------------------- header

function showConnection(state, words) {
  const chip = byId("connection");
  chip.dataset.state = state;
  if (byId("connection-text").textContent !== words) byId("connection-text").textContent = words;
}

function showTransport() {
  if (!socket?.connected) return;
  const name = socket.io.engine.transport.name;
  showConnection("connected", `Connected, ${name === "websocket" ? "WebSocket" : name}`);
}

function showDate(date) {
  if (typeof date !== "string") return;
  const time = byId("replay-date");
  if (time.dateTime === date) return;
  time.dateTime = date;
  time.textContent = formatDay(date);
}

function showMarket(status) {
  const state = status.state === "open" ? "open" : "closed";
  byId("market").dataset.state = state;
  byId("market-text").textContent = status.phase === "pre-open" ? "Market pre-open" : `Market ${state}`;
  if (status.date !== byId("replay-date").dateTime) loadHistory();
  showDate(status.date);
  if (status.startsOver === true) byId("replay-note").textContent = "The last day of the data: it starts over next.";
  else if (typeof status.lastDate === "string") {
    byId("replay-note").textContent = `Past days, not the market of today; starts over after ${formatDay(status.lastDate)}.`;
  }
}

function showUser() {
  for (const button of document.querySelectorAll("#switcher button")) {
    button.setAttribute("aria-pressed", String(button.dataset.user === login?.userId));
  }
  byId("logout").disabled = !login;
  byId("welcome").hidden = Boolean(login);
  byId("columns").hidden = !login;
  byId("broadcast").hidden = !login?.isAdmin;
  document.body.dataset.admin = String(Boolean(login?.isAdmin));
  byId("portfolio-user").textContent = login ? `${text(login.userName)} · ${login.isAdmin ? "admin" : text(login.tier)}` : "";
}

let bannerUser = null;

function showBanner(title, words, user) {
  bannerUser = user ?? null;
  byId("banner-title").textContent = title;
  byId("banner-text").textContent = words;
  byId("banner-action").hidden = !bannerUser;
  byId("banner").hidden = false;
}

function hideBanner() {
  byId("banner").hidden = true;
}

// ---------------------------------------------------------------------------------------------- quotes

class Card {
  constructor(symbol) {
    const node = byId("card").content.firstElementChild.cloneNode(true);
    this.symbol = symbol;
    this.node = node;
    node.dataset.symbol = symbol;
    this.price = node.querySelector(".price");
    this.delta = node.querySelector(".delta");
    this.meta = node.querySelector(".state");
    this.volume = node.querySelector(".volume");
    this.toggle = node.querySelector(".toggle");
    node.querySelector(".symbol").textContent = symbol;
    node.querySelector(".company").textContent = COMPANIES[symbol];
    this.toggle.querySelector("span").textContent = `Quotes of ${symbol}`;
    this.toggle.addEventListener("click", () => this.switch());
    this.chart = new QuoteChart(node.querySelector(".chart"));
    this.reset();
  }

  reset() {
    this.last = null; // the last quote's price
    this.chart.clear();
    this.node.dataset.state = "off";
    this.setStale(null);
    this.toggle.setAttribute("aria-pressed", "false");
    this.toggle.disabled = true;
    this.price.textContent = "–";
    this.delta.textContent = "";
    this.say("Log in to see quotes");
  }

  say(words, volume = "") {
    this.meta.textContent = words;
    this.volume.textContent = volume;
  }

  showHistory(closes, date) {
    if (this.last !== null) return; // a quote was faster
    this.chart.setHistory(closes, date);
    if (!closes.length) return;
    this.price.textContent = formatMoney(closes.at(-1));
    showDelta(this.delta, null, "last close");
  }

  asking(on) {
    this.node.dataset.state = "asking";
    this.toggle.disabled = true;
    this.toggle.setAttribute("aria-pressed", String(on));
    if (this.last === null) this.say("Asking for quotes");
  }

  subscribed(on) {
    this.node.dataset.state = on ? "on" : "off";
    this.toggle.disabled = false;
    this.toggle.setAttribute("aria-pressed", String(on));
    if (on) wanted.add(this.symbol);
    else wanted.delete(this.symbol);
    if (!on) {
      this.setStale(null);
      this.say("Not subscribed");
    }
    else if (this.last === null) this.say("Waiting for a quote");
  }

  // No quote since then; null: they come again.
  setStale(since) {
    this.node.dataset.stale = String(since !== null);
    if (since !== null) this.say(`No quote since ${formatTime(since.toISOString())}`);
  }

  refused(reason) {
    this.node.dataset.state = "refused";
    this.toggle.disabled = false;
    this.toggle.setAttribute("aria-pressed", "false");
    this.say(`Refused: ${reason}`);
  }

  // The connection is away; the last quote stays, but not as a live one.
  waiting() {
    this.toggle.disabled = true;
    if (this.node.dataset.state === "on") this.node.dataset.state = "asking";
  }

  switch() {
    if (!socket?.connected) return;
    setQuotes(this.symbol, this.toggle.getAttribute("aria-pressed") !== "true");
  }

  show(quote) {
    if (!Number.isFinite(quote.price)) return;
    if (this.last !== null && quote.price !== this.last) flash(this.price, quote.price > this.last ? "up" : "down");
    this.last = quote.price;
    this.node.dataset.direction = direction(quote.change);
    this.price.textContent = formatMoney(quote.price);
    showDelta(this.delta, quote.change, `${formatSignedMoney(quote.change)} (${formatPercent(quote.changePercent)})`);
    if (this.node.dataset.state === "on" || this.node.dataset.state === "asking") {
      this.say(`${formatMoney(quote.low)} – ${formatMoney(quote.high)}`, formatCompact(quote.volume));
    }
    this.chart.add(quote);
    showDate(quote.date);
  }
}

function showDelta(node, value, words) {
  node.dataset.direction = direction(value);
  node.textContent = value === null ? words : `${arrow(value)} ${words}`;
}

function flash(node, way) {
  node.classList.remove("flash-up", "flash-down");
  void node.offsetWidth; // lets the same animation begin anew
  node.classList.add(`flash-${way}`);
}

const cards = new Map(SYMBOLS.map((symbol) => [symbol, new Card(symbol)]));
byId("cards").append(...[...cards.values()].map((card) => card.node));

// ---------------------------------------------------------------------------------------------- portfolio

const valueChart = new ValueChart(byId("portfolio-chart"));
const rows = new Map();
let lastValue = null;

function showPortfolio(portfolio) {
  const value = byId("portfolio-value");
  if (lastValue !== null && portfolio.value !== lastValue) flash(value, portfolio.value > lastValue ? "up" : "down");
  lastValue = portfolio.value;
  value.textContent = formatMoney(portfolio.value);
  const change = `${formatSignedMoney(portfolio.dayChange)} (${formatPercent(portfolio.dayChangePercent)}) today`;
  showDelta(byId("portfolio-change"), portfolio.dayChange, change);
  byId("portfolio-cash").textContent = formatRoundMoney(portfolio.cash);
  byId("portfolio-invested").textContent = formatRoundMoney(portfolio.positionsValue);
  for (const [id, profit] of [["realized", portfolio.realizedProfit], ["unrealized", portfolio.unrealizedProfit]]) {
    const node = byId(`portfolio-${id}`);
    node.dataset.direction = direction(profit);
    node.textContent = formatSignedMoney(profit);
  }
  valueChart.add(portfolio.value);
  showPositions(Array.isArray(portfolio.positions) ? portfolio.positions.filter(isObject) : []);
}

// A row for each symbol of the demo, held or not, so that the table keeps its size; others below while they are held.
function showPositions(positions) {
  const held = new Map(positions.map((position) => [text(position.symbol), position]));
  for (const symbol of new Set([...SYMBOLS, ...held.keys()])) {
    let row = rows.get(symbol);
    if (!row) {
      row = byId("position").content.firstElementChild.cloneNode(true);
      row.dataset.symbol = symbol;
      row.querySelector("b").textContent = symbol;
      rows.set(symbol, row);
      byId("positions").append(row);
    }
    const position = held.get(symbol) ?? {};
    row.dataset.held = String(held.has(symbol));
    row.querySelector("small").textContent = held.has(symbol) ? `${formatWhole(position.quantity)} sh.` : "";
    row.querySelector(".average").textContent = formatMoney(position.averagePrice);
    row.querySelector(".price").textContent = formatMoney(position.price);
    row.querySelector(".value").textContent = formatRoundMoney(position.value);
    showDelta(row.querySelector(".profit"), held.has(symbol) ? position.profit : null, formatPercent(position.profitPercent));
  }
  for (const [symbol, row] of rows) {
    if (!held.has(symbol) && !SYMBOLS.includes(symbol)) {
      row.remove();
      rows.delete(symbol);
    }
  }
}

// ---------------------------------------------------------------------------------------------- lists

function addItem(list, { badge, kind, title, amount = "", why = "", when }) {
  const item = byId("item").content.firstElementChild.cloneNode(true);
  item.dataset.kind = kind;
  item.querySelector(".badge").textContent = badge;
  item.querySelector("b").textContent = title;
  item.querySelector(".amount").textContent = amount;
  item.querySelector(".why").textContent = why;
  const time = item.querySelector("time");
  time.textContent = formatTime(when);
  const box = byId(list);
  box.prepend(item);
  while (box.children.length > MOST_ITEMS) box.lastElementChild.remove();
  byId(`${list}-empty`).hidden = true;
  counts[list] = (counts[list] ?? 0) + 1;
  showCounts();
}

let counts = {};

function showCounts() {
  byId("notifications-count").textContent = counts.notifications ? formatWhole(counts.notifications) : "";
  byId("refusals-count").textContent = counts.refusals ? formatWhole(counts.refusals) : "";
  const { executed = 0, failed = 0 } = counts;
  byId("trades-count").textContent = executed || failed ? `${formatWhole(executed)} executed, ${formatWhole(failed)} failed` : "";
}

const deal = (order) => `${text(order.symbol)} ${formatWhole(order.quantity)} × ${formatMoney(order.price)}`;

function showTrade(trade, when) {
  counts.executed = (counts.executed ?? 0) + 1;
  const buy = trade.side === "buy";
  addItem("trades", {
    badge: buy ? "Buy" : "Sell", kind: buy ? "buy" : "sell", title: deal(trade),
    amount: formatRoundMoney(trade.amount), why: text(trade.reason), when,
  });
}

function showFailure(failure, when) {
  counts.failed = (counts.failed ?? 0) + 1;
  const side = failure.side === "buy" ? "Buy" : "Sell";
  addItem("trades", {
    badge: "Failed", kind: "failed", title: `${side} ${deal(failure)}`,
    why: `${text(failure.reason)} (${text(failure.code)})`, when,
  });
}

function showClosed(position, when) {
  addItem("trades", {
    badge: "Closed", kind: direction(position.realizedProfit) === "down" ? "loss" : "profit",
    title: `${text(position.symbol)} position of ${formatWhole(position.quantity)}`, amount: formatSignedMoney(position.realizedProfit),
    why: `${formatMoney(position.averagePrice)} → ${formatMoney(position.exitPrice)} (${formatPercent(position.realizedPercent)})`,
    when,
  });
}

const LEVELS = { info: "Info", success: "Good", warning: "Note" };

function showNotification(notification, when) {
  const level = Object.hasOwn(LEVELS, notification.level) ? notification.level : "info";
  addItem("notifications", {
    badge: LEVELS[level], kind: level, title: text(notification.title, "Notification"),
    why: text(notification.message), when,
  });
}

// An event that this page does not know, such as what an admin broadcasts.
function announce(event, data) {
  const fields = isObject(data) ? data : {};
  let why = text(fields.message);
  if (!why && data !== undefined && data !== null) why = typeof data === "string" ? data : JSON.stringify(data);
  addItem("notifications", {
    badge: "Event", kind: "broadcast", title: text(fields.title, text(event)), amount: fields.title ? text(event) : "",
    why: text(why), when: fields.timestamp,
  });
}

function refused(event, code, reason, message) {
  addItem("refusals", {
    badge: event === "connect_error" || event === "disconnect" ? "Connection" : "Refused", kind: "failed",
    title: reason ? `${code}: ${reason}` : code, why: message,
  });
}

// ---------------------------------------------------------------------------------------------- admin, tries

async function broadcast(form) {
  const raw = form.elements.data.value.trim();
  let data;
  try {
    data = JSON.parse(raw);
  } catch {
    data = raw;
  }
  if (!isObject(data)) data = { message: typeof data === "string" ? data : raw };
  const result = byId("broadcast-result");
  if (!socket?.connected) {
    result.textContent = "Not connected";
    return;
  }
  const answer = await ask("admin:broadcast", { event: form.elements.event.value.trim(), data });
  result.textContent = answer.success === true ? `Sent at ${formatTime(answer.timestamp)}` : text(answer.message, "Refused");
}

const TRIES = {
  symbol: () => socket?.emit("subscribe:watchlist", { symbol: "prix en €" }),
  foreign: () => socket?.emit("subscribe:portfolio", { userId: login?.userId === "demo-admin" ? "demo-free" : "demo-admin" }),
  broadcast: () => socket?.emit("admin:broadcast", login?.isAdmin ? { event: "connect" } : { event: "hello", data: {} }),
  session: () => {
    const stranger = io({ path: SOCKET_PATH, forceNew: true, reconnection: false, transports: ["websocket"], auth: {} });
    stranger.on("connect_error", (error) => {
      refused("connect_error", text(error.data?.code, "NO_CONNECTION"), "", error.message);
      stranger.disconnect();
    });
    stranger.on("connect", () => stranger.disconnect());
  },
};

// ---------------------------------------------------------------------------------------------- the page

function clearBoard() {
  wanted = new Set(SYMBOLS);
  for (const card of cards.values()) card.reset();
  for (const list of ["trades", "notifications", "refusals"]) {
    byId(list).replaceChildren();
    byId(`${list}-empty`).hidden = false;
  }
  seen.clear();
  counts = {};
  showCounts();
  for (const id of ["value", "cash", "invested", "realized", "unrealized"]) byId(`portfolio-${id}`).textContent = "–";
  byId("portfolio-change").textContent = "\u00a0";
  lastValue = null;
  valueChart.clear();
  showPositions([]);
  byId("broadcast-result").textContent = "Text or a JSON object";
  loadHistory();
}

for (const button of document.querySelectorAll("[data-user]")) {
  button.addEventListener("click", () => logInAs(button.dataset.user));
}
for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", () => TRIES[button.dataset.try]());
}
byId("logout").addEventListener("click", logOut);
byId("banner-action").addEventListener("click", () => { if (bannerUser) logInAs(bannerUser); });
byId("broadcast-form").addEventListener("submit", (event) => {
  event.preventDefault();
  broadcast(event.target);
});

clearBoard();
login = remembered();
showUser();
if (login) enter();
