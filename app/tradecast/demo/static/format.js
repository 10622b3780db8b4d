// Numbers and times as the reader's browser writes them.

const money = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });
const signedMoney = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", signDisplay: "exceptZero" });
const round = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const percent = new Intl.NumberFormat(undefined, {
  style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero",
});
const whole = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const longDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

// What comes over the wire may be anything; what is no number is shown as a dash.
const or = (format) => (value) => (Number.isFinite(value) ? format(value) : "–");

export const formatMoney = or((value) => money.format(value));
export const formatSignedMoney = or((value) => signedMoney.format(value));
export const formatRoundMoney = or((value) => (Math.abs(value) < 100_000 ? money : round).format(value));
export const formatPercent = or((value) => percent.format(value / 100));
export const formatWhole = or((value) => whole.format(value));
export const formatCompact = or((value) => compact.format(value));

export function formatTime(iso) {
  const time = typeof iso === "string" ? new Date(iso) : new Date();
  return clock.format(Number.isNaN(time.getTime()) ? new Date() : time);
}

export function formatDay(iso) {
  const day = new Date(`${iso}T00:00:00Z`);
  return Number.isNaN(day.getTime()) ? "…" : longDay.format(day);
}

// ▲ and ▼ beside the colour: neither is alone in saying it.
export function arrow(value) {
  if (!Number.isFinite(value) || value === 0) return "•";
  return value > 0 ? "▲" : "▼";
}

export function direction(value) {
  if (!Number.isFinite(value) || value === 0) return "flat";
  return value > 0 ? "up" : "down";
}
