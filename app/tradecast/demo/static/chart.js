// Two small charts in SVG. They are drawn in pixels of their box and again when it changes its size.

const SVG = "http://www.w3.org/2000/svg";
const PAD = 5;
const HISTORY = 20; // closes

function shape(parent, name, className) {
  const node = document.createElementNS(SVG, name);
  node.setAttribute("class", className);
  parent.append(node);
  return node;
}

const at = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const line = (points) => (points.length ? `M${points.map(([x, y]) => at(x, y)).join("L")}` : "");

class Chart {
  constructor(box) {
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("aria-hidden", "true");
    this.svg.setAttribute("focusable", "false");
    box.append(this.svg);
    this.width = 0;
    this.height = 0;
    this.queued = false;
    new ResizeObserver(([entry]) => {
      this.width = Math.floor(entry.contentRect.width);
      this.height = Math.floor(entry.contentRect.height);
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.changed();
    }).observe(box);
  }

  // However many values arrive, one drawing per frame.
  changed() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      if (this.width > 0 && this.height > 0) this.draw();
    });
  }

  scale(values, least) {
    let low = Math.min(...values);
    let high = Math.max(...values);
    const middle = (low + high) / 2;
    const span = Math.max(high - low, Math.abs(middle) * least) || 1;
    low = middle - span / 2;
    high = middle + span / 2;
    return (value) => PAD + (this.height - 2 * PAD) * (1 - (value - low) / (high - low));
  }
}

// The closes of the last days in the left part, the replayed day in the right one, on one scale.
export class QuoteChart extends Chart {
  constructor(box) {
    super(box);
    this.closes = [];
    this.today = [];
    this.date = null;
    this.base = shape(this.svg, "line", "base");
    this.area = shape(this.svg, "path", "area");
    this.past = shape(this.svg, "path", "past");
    this.now = shape(this.svg, "path", "now");
    this.dot = shape(this.svg, "circle", "end");
    this.dot.setAttribute("r", "2.75");
    this.dot.setAttribute("visibility", "hidden");
  }

  // Today is forgotten, the closes stay.
  clear() {
    this.today = [];
    this.changed();
  }

  setHistory(closes, date) {
    this.closes = closes.filter(Number.isFinite).slice(-HISTORY);
    if (this.date !== date) {
      this.date = date;
      this.today = [];
    }
    this.changed();
  }

  add(quote) {
    if (!Number.isFinite(quote.price)) return;
    if (quote.date !== this.date) {
      if (this.date !== null && Number.isFinite(quote.previousClose)) {
        this.closes.push(quote.previousClose);
        this.closes = this.closes.slice(-HISTORY);
      }
      this.date = quote.date;
      this.today = [];
    }
    const last = this.today.at(-1);
    const progress = Number.isFinite(quote.progress) ? quote.progress : Math.min(1, (last ? last[0] : 0) + 0.005);
    if (last && progress <= last[0]) {
      last[1] = quote.price;
    } else {
      if (!last && progress > 0 && Number.isFinite(quote.open)) this.today.push([0, quote.open]);
      this.today.push([progress, quote.price]);
      if (this.today.length > 500) this.today.splice(1, 1);
    }
    this.changed();
  }

  draw() {
    const values = [...this.closes, ...this.today.map(([, price]) => price)];
    if (values.length < 2) return;
    const y = this.scale(values, 0.01);
    const middle = this.width * 0.42;
    const step = (middle - 1) / (HISTORY - 1); // a young stock has a short line
    const past = this.closes.map((close, index) => [middle - (this.closes.length - 1 - index) * step, y(close)]);
    const right = this.width - PAD;
    const now = this.today.map(([progress, price]) => [middle + (right - middle) * progress, y(price)]);
    const close = past.at(-1);
    const from = close ?? now[0];
    if (close && now.length) now.unshift(close);
    const price = this.today.at(-1)?.[1];
    const reference = this.closes.at(-1) ?? this.today[0]?.[1];
    const way = price === undefined ? "flat" : price > reference ? "up" : price < reference ? "down" : "flat";
    this.svg.dataset.direction = way;
    this.past.setAttribute("d", line(past));
    this.now.setAttribute("d", line(now));
    this.base.setAttribute("x1", from[0].toFixed(1));
    this.base.setAttribute("x2", String(this.width));
    this.base.setAttribute("y1", from[1].toFixed(1));
    this.base.setAttribute("y2", from[1].toFixed(1));
    const end = now.at(-1);
    if (end && now.length > 1) {
      this.area.setAttribute("d", `${line(now)}L${at(end[0], this.height)}L${at(now[0][0], this.height)}Z`);
      this.area.setAttribute("fill", way === "flat" ? "none" : `url(#fade-${way})`);
      this.dot.setAttribute("cx", end[0].toFixed(1));
      this.dot.setAttribute("cy", end[1].toFixed(1));
      this.dot.removeAttribute("visibility");
    } else {
      this.area.setAttribute("d", "");
      this.dot.setAttribute("visibility", "hidden");
    }
  }
}

// The last values as they arrived.
export class ValueChart extends Chart {
  constructor(box, capacity = 180) {
    super(box);
    this.capacity = capacity;
    this.values = [];
    this.area = shape(this.svg, "path", "area");
    this.area.setAttribute("fill", "url(#fade-accent)");
    this.line = shape(this.svg, "path", "value");
    this.dot = shape(this.svg, "circle", "end value-end");
    this.dot.setAttribute("r", "3");
    this.dot.setAttribute("visibility", "hidden");
  }

  clear() {
    this.values = [];
    for (const path of [this.area, this.line]) path.setAttribute("d", "");
    this.dot.setAttribute("visibility", "hidden");
  }

  add(value) {
    if (!Number.isFinite(value)) return;
    this.values.push(value);
    if (this.values.length > this.capacity) this.values.shift();
    this.changed();
  }

  draw() {
    if (this.values.length < 2) return;
    const y = this.scale(this.values, 0.002);
    // At least a minute wide, so that the first points do not stretch over all of it.
    const step = (this.width - 2 * PAD) / (Math.max(this.values.length, 60) - 1);
    const points = this.values.map((value, index) => [PAD + index * step, y(value)]);
    const end = points.at(-1);
    this.line.setAttribute("d", line(points));
    this.area.setAttribute("d", `${line(points)}L${at(end[0], this.height)}L${at(points[0][0], this.height)}Z`);
    this.dot.setAttribute("cx", end[0].toFixed(1));
    this.dot.setAttribute("cy", end[1].toFixed(1));
    this.dot.removeAttribute("visibility");
  }
}
