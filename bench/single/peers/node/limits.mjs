// What a user may do: sliding windows of a minute per event and for all events, and quotas, in memory.

const WINDOW = 60_000;
const ALL = 1_000;
const PER_EVENT = { "subscribe:portfolio": 100 };
const CONNECTIONS = 10;
const SUBSCRIPTIONS = 50;

// The times of the events that count, oldest first.
class SlidingWindow {
  #times = [];

  advance(now) {
    const times = this.#times;
    let old = 0;
    while (old < times.length && times[old] <= now - WINDOW) old++;
    if (old > 0) times.splice(0, old);
    return times.length;
  }

  add(now) {
    this.#times.push(now);
  }
}

export class Limits {
  #windows = new Map(); // user → name → window
  #connections = new Map(); // user → set of connections
  #subscriptions = new Map(); // user → set of `connection|room`

  constructor() {
    setInterval(() => this.#cleanUp(), WINDOW).unref();
  }

  // Count one event against both limits, or against none where one is used up.
  hit(user, event) {
    const now = Date.now();
    let windows = this.#windows.get(user);
    if (windows === undefined) this.#windows.set(user, (windows = new Map()));
    const all = this.#window(windows, "*");
    const one = this.#window(windows, event);
    if (all.advance(now) >= ALL || one.advance(now) >= (PER_EVENT[event] ?? ALL)) return false;
    all.add(now);
    one.add(now);
    return true;
  }

  holdConnection(user, connection) {
    return this.#hold(this.#connections, user, connection, CONNECTIONS);
  }

  holdSubscription(user, member) {
    return this.#hold(this.#subscriptions, user, member, SUBSCRIPTIONS);
  }

  // A connection has ended.
  giveBack(user, connection) {
    const connections = this.#connections.get(user);
    if (connections?.delete(connection) && connections.size === 0) this.#connections.delete(user);
    const held = this.#subscriptions.get(user);
    if (held === undefined) return;
    for (const member of held) if (member.startsWith(`${connection}|`)) held.delete(member);
    if (held.size === 0) this.#subscriptions.delete(user);
  }

  #window(windows, name) {
    let window = windows.get(name);
    if (window === undefined) windows.set(name, (window = new SlidingWindow()));
    return window;
  }

  #hold(all, user, member, limit) {
    let held = all.get(user);
    if (held === undefined) all.set(user, (held = new Set()));
    if (!held.has(member) && held.size >= limit) return false;
    held.add(member);
    return true;
  }

  #cleanUp() {
    const now = Date.now();
    for (const [user, windows] of this.#windows) {
      for (const [name, window] of windows) if (window.advance(now) === 0) windows.delete(name);
      if (windows.size === 0) this.#windows.delete(user);
    }
  }
}
