// Live quotes over a socket of socket.io-client 4.x, in browsers and Node: keeps the newest quote of each symbol, made
// of whole quotes and deltas; subscribes again after a lost connection; says which quotes are stale.
//
//   const socket = io(url, { auth: { sessionID, userId, deltas: true } });
//   const quotes = new Quotes(socket, { onQuote: (symbol, payload) => show(symbol, payload.quote), maxAge: 10_000 });
//   quotes.subscribe(["AAPL", "MSFT"]);
//
// An ES module without dependencies. `book.py`, `ages.py` and `quotes.py` beside it do the same in Python.

const QUOTE = "watchlist:quote";
const DELTA = "watchlist:quote:delta";
const STALE = "watchlist:stale";
const STATUS = "market:status";
const SYMBOLS_PER_REQUEST = 50;
// Milliseconds. A server that is further behind another one than this is about to notice it.
const MOST_BEHIND = 10_000;
// Reasons for a refusal that pass.
const PASSING = new Set(["RATE_LIMITED", "UNAVAILABLE", "NO_ANSWER", "INTERNAL"]);

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What a JSON merge patch (RFC 7396) makes of a value: a new one. */
export function applyPatch(before, patch) {
  if (!isObject(patch)) return patch;
  const after = isObject(before) ? { ...before } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete after[key];
    else put(after, key, isObject(value) ? applyPatch(Object.hasOwn(after, key) ? after[key] : undefined, value) : value);
  }
  return after;
}

// A field called __proto__ is a field like any other.
function put(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

/** The newest quote of each symbol as a client knows it. Knows no clock and no socket. */
export class QuoteBook {
  #entries = new Map(); // by symbol: {base, number, newest, isFresh}

  /** The newest payload of a symbol, as it was handed out. */
  get(symbol) {
    return this.#entries.get(symbol)?.newest;
  }

  /**
   * A `watchlist:quote` has come: the payload that is to be handed out, if any. The first one on a connection may be
   * older than the last one before, if that server was ahead: then it is the base of deltas, and not handed out.
   */
  takeWhole(payload) {
    if (!isObject(payload) || typeof payload.symbol !== "string") return undefined;
    let entry = this.#entries.get(payload.symbol);
    if (!entry) {
      entry = { base: undefined, number: null, newest: undefined, isFresh: true };
      this.#entries.set(payload.symbol, entry);
    }
    const whole = { ...payload };
    if (Number.isInteger(payload.number)) {
      delete whole.number;
      entry.base = whole;
      entry.number = payload.number;
    }
    const isOld = entry.isFresh && entry.newest !== undefined && isOlder(whole, entry.newest);
    entry.isFresh = false;
    if (isOld) return undefined;
    entry.newest = whole;
    return whole;
  }

  /**
   * A `watchlist:quote:delta` has come: `{payload}` to be handed out, or `{missing: symbol}`, which has to be subscribed
   * to again, since what the delta is for is not here.
   */
  takeDelta(delta) {
    if (!isObject(delta) || typeof delta.symbol !== "string") return {};
    const { number, ...patch } = delta;
    const entry = this.#entries.get(delta.symbol);
    if (!entry || entry.number === null || number !== entry.number + 1) {
      if (entry) entry.number = null;
      return { missing: delta.symbol };
    }
    entry.number = number;
    entry.base = entry.newest = applyPatch(entry.base, patch);
    return { payload: entry.base };
  }

  /** A connection has begun: deltas are for what comes on it. */
  beginConnection() {
    for (const entry of this.#entries.values()) {
      entry.number = null;
      entry.isFresh = true;
    }
  }

  forget(symbol) {
    this.#entries.delete(symbol);
  }
}

// Whether one quote was made shortly before another. Timestamps are of publishers, whose clocks need not agree: one that
// is an hour behind is the newest all the same.
function isOlder(one, other) {
  const behind = Date.parse(other.timestamp) - Date.parse(one.timestamp);
  return behind > 0 && behind < MOST_BEHIND;
}

/** Live quotes over a socket. Payloads that it hands out are not to be changed. */
export class Quotes {
  #socket;
  #book = new QuoteBook();
  #options;
  #wanted = new Set();
  #confirmed = new Set();
  #left = new Set(); // unsubscribed from, as far as the server knows not yet
  #received = new Map(); // symbol: when its last quote came
  #stale = new Map(); // symbol: when its last quote came, as far as is known
  #openedAt = null; // when the market opened, as far as is known; null: it is closed, or nobody knows
  #missing = new Set(); // symbols that are to be subscribed to again
  #nextRepair = 0;
  #repairTimer = null;
  #ageTimer;
  #listeners;

  /**
   * @param socket A socket of socket.io-client; `auth: {deltas: true}` makes the server send deltas.
   * @param options
   *   onQuote(symbol, payload): the newest `{symbol, quote, timestamp}`; never one that is older than the one before.
   *   onStale(symbol, since): no quote of it since `since` (a Date), or quotes come again (null).
   *   onSubscribed(symbols, answer): a subscription after a (re)connect was answered; `answer` as of `subscribe`.
   *   maxAge: milliseconds after which a symbol without a quote is stale while the market is open, or a function of the
   *     symbol; by default only what the server says (`watchlist:stale`) is.
   *   repairInterval: least milliseconds between requests for whole quotes (2,000).
   *   answerTimeout: milliseconds that an answer may take (10,000).
   *   now: a clock in milliseconds, for tests.
   */
  constructor(socket, options = {}) {
    this.#socket = socket;
    this.#options = {
      onQuote() {}, onStale() {}, onSubscribed() {}, maxAge: null, repairInterval: 2_000, answerTimeout: 10_000,
      now: Date.now, ...options,
    };
    this.#listeners = {
      connect: () => this.#connected(),
      [QUOTE]: (payload) => { if (!this.#left.has(payload?.symbol)) this.#quote(this.#book.takeWhole(payload), payload); },
      [DELTA]: (delta) => { if (!this.#left.has(delta?.symbol)) this.#delta(delta); },
      [STALE]: (message) => this.#serverSaysStale(message),
      [STATUS]: (message) => this.#status(message?.status),
    };
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener);
    this.#ageTimer = setInterval(() => this.checkAges(), 1_000);
    this.#ageTimer.unref?.(); // Node would wait for it
  }

  /** The newest payload of a symbol; undefined: none has come. */
  get(symbol) {
    return this.#book.get(symbol);
  }

  /** Symbols that are wanted, subscribed to or not yet. */
  get wanted() {
    return new Set(this.#wanted);
  }

  /** Since when each stale symbol has had no quote: symbol to Date. */
  get stale() {
    return new Map([...this.#stale].map(([symbol, since]) => [symbol, new Date(since)]));
  }

  /**
   * Subscribe to symbols, now and after each lost connection. Without a connection that is done once there is one, and
   * `onSubscribed` has the answer.
   *
   * @returns `{symbols, failed: [{symbol, reason, message}]}`. What has failed is not tried again.
   */
  async subscribe(symbols) {
    const asked = [...new Set(symbols)];
    for (const symbol of asked) {
      this.#wanted.add(symbol);
      this.#left.delete(symbol);
    }
    if (!this.#socket.connected) return { symbols: [], failed: [] };
    const answer = await this.#request("subscribe:watchlist", asked);
    for (const { symbol } of answer.failed) this.#drop(symbol);
    return answer;
  }

  /** Unsubscribe from symbols. What was known of them is forgotten. */
  async unsubscribe(symbols) {
    const asked = [...new Set(symbols)].filter((symbol) => this.#wanted.has(symbol));
    for (const symbol of asked) {
      this.#drop(symbol);
      this.#left.add(symbol);
    }
    if (!this.#socket.connected || !asked.length) return { symbols: asked, failed: [] };
    return this.#leave(asked);
  }

  /** Stop: nothing is called any more. The socket and its subscriptions stay as they are. */
  close() {
    for (const [event, listener] of Object.entries(this.#listeners)) this.#socket.off(event, listener);
    clearInterval(this.#ageTimer);
    clearTimeout(this.#repairTimer);
    this.#options.onQuote = this.#options.onStale = this.#options.onSubscribed = () => {};
  }

  /** Look for stale quotes. Done once a second; for tests. */
  checkAges() {
    const { maxAge, now } = this.#options;
    if (this.#openedAt === null || maxAge === null) return;
    for (const [symbol, received] of this.#received) {
      const most = typeof maxAge === "function" ? maxAge(symbol) : maxAge;
      if (typeof most === "number" && now() - Math.max(received, this.#openedAt) > most) this.#setStale(symbol, received);
    }
  }

  #drop(symbol) {
    this.#wanted.delete(symbol);
    this.#confirmed.delete(symbol);
    this.#missing.delete(symbol);
    this.#received.delete(symbol);
    this.#stale.delete(symbol);
    this.#book.forget(symbol);
  }

  async #connected() {
    this.#book.beginConnection();
    this.#missing.clear();
    if (!this.#socket.recovered) {
      this.#confirmed.clear();
      this.#left.clear();
    }
    if (this.#left.size) this.#leave([...this.#left]);
    const asked = [...this.#wanted].filter((symbol) => !this.#confirmed.has(symbol));
    if (!asked.length) {
      this.#options.onSubscribed([...this.#wanted], { symbols: [...this.#wanted], failed: [] });
      return;
    }
    const answer = await this.#request("subscribe:watchlist", asked);
    for (const { symbol, reason } of answer.failed) {
      if (!this.#wanted.has(symbol)) continue;
      if (PASSING.has(reason)) this.#repair(symbol);
      else this.#drop(symbol);
    }
    this.#options.onSubscribed(asked, answer);
  }

  async #leave(symbols) {
    const answer = await this.#request("unsubscribe:watchlist", symbols);
    for (const symbol of answer.symbols) this.#left.delete(symbol);
    return answer;
  }

  async #request(event, symbols) {
    const done = [];
    const failed = [];
    for (let start = 0; start < symbols.length; start += SYMBOLS_PER_REQUEST) {
      const some = symbols.slice(start, start + SYMBOLS_PER_REQUEST);
      const answer = await this.#ask(event, { symbols: some });
      const listed = Array.isArray(answer.symbols) ? answer.symbols : [];
      const refused = new Map((Array.isArray(answer.failed) ? answer.failed : []).map((one) => [one.symbol, one]));
      for (const symbol of some) {
        if (listed.includes(symbol)) done.push(symbol);
        else failed.push({ reason: answer.reason, message: answer.message, ...refused.get(symbol), symbol });
      }
    }
    if (event.startsWith("sub")) for (const symbol of done) if (this.#wanted.has(symbol)) this.#confirmed.add(symbol);
    return { symbols: done, failed };
  }

  #ask(event, payload) {
    return new Promise((resolve) => {
      this.#socket.timeout(this.#options.answerTimeout).emit(event, payload, (error, answer) => {
        if (!error && isObject(answer)) resolve(answer);
        else resolve({ reason: "NO_ANSWER", message: "The server did not answer" });
      });
    });
  }

  #quote(handedOut, payload) {
    if (!isObject(payload) || typeof payload.symbol !== "string") return;
    this.#missing.delete(payload.symbol);
    this.#alive(payload.symbol);
    if (handedOut) this.#options.onQuote(payload.symbol, handedOut);
  }

  #delta(delta) {
    const { payload, missing } = this.#book.takeDelta(delta);
    if (missing !== undefined) this.#repair(missing);
    if (!payload) return;
    this.#alive(payload.symbol);
    this.#options.onQuote(payload.symbol, payload);
  }

  // A symbol is subscribed to again, and so its next quote comes whole. However many are missing, requests are rare.
  #repair(symbol) {
    this.#missing.add(symbol);
    if (this.#repairTimer !== null) return;
    const { now, repairInterval } = this.#options;
    this.#repairTimer = setTimeout(async () => {
      this.#repairTimer = null;
      const symbols = [...this.#missing];
      this.#missing.clear();
      if (!symbols.length || !this.#socket.connected) return;
      this.#nextRepair = now() + repairInterval;
      const answer = await this.#request("subscribe:watchlist", symbols);
      for (const { symbol: failed, reason } of answer.failed) {
        if (PASSING.has(reason) && this.#wanted.has(failed) && this.#socket.connected) this.#repair(failed);
      }
    }, Math.max(0, this.#nextRepair - now()));
    this.#repairTimer.unref?.();
  }

  #alive(symbol) {
    this.#received.set(symbol, this.#options.now());
    if (this.#stale.delete(symbol)) this.#options.onStale(symbol, null);
  }

  #setStale(symbol, since) {
    if (this.#stale.has(symbol)) return;
    this.#stale.set(symbol, since);
    this.#options.onStale(symbol, new Date(since));
  }

  #serverSaysStale(message) {
    if (!isObject(message) || !Array.isArray(message.symbols)) return;
    const said = typeof message.since === "string" ? Date.parse(message.since) : Number.NaN;
    for (const symbol of message.symbols) {
      if (typeof symbol !== "string" || !this.#wanted.has(symbol)) continue;
      // `since` is the server's, of all its symbols; of what this client has received it knows better.
      if (message.stale !== false) {
        this.#setStale(symbol, this.#received.get(symbol) ?? (Number.isNaN(said) ? this.#options.now() : said));
      } else if (this.#stale.delete(symbol)) this.#options.onStale(symbol, null);
    }
  }

  #status(status) {
    const state = isObject(status) ? status.state : status;
    if (typeof state !== "string" || state.toLowerCase() !== "open") this.#openedAt = null;
    else this.#openedAt ??= this.#options.now();
  }
}
