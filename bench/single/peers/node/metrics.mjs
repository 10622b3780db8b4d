// The figures that Prometheus would read.

import client from "prom-client";

const received = new client.Counter({ name: "events_total", help: "Events received", labelNames: ["event"] });
const limited = new client.Counter({ name: "rate_limited_total", help: "Events over a limit", labelNames: ["event"] });
const duration = new client.Histogram({ name: "event_seconds", help: "How long events took", labelNames: ["event"] });

export const connections = new client.Gauge({ name: "connections", help: "Connections now" });
export const connected = new client.Counter({ name: "connected_total", help: "Connections made" });
export const disconnected = new client.Counter({
  name: "disconnected_total",
  help: "Connections ended",
  labelNames: ["reason"],
});

// An event's own series, looked up once and not for each event.
export const ofEvent = (event) => ({
  received: received.labels(event),
  limited: limited.labels(event),
  duration: duration.labels(event),
});

client.collectDefaultMetrics();
