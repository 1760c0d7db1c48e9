/* Numbers, times and words as people read them. Pure: the same input gives the same text. */

export const NONE = "–";
const NBSP = "\u00a0";

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A measured number: 487.3, 0.9912, 3.2e-4, 12,345. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 0.01 || size >= 1e7) {
    const rounded = value.toExponential(Math.min(digits - 1, 2));
    const [mantissa, exponent] = rounded.split("e");
    return `${Number(rounded) === value ? trimmed(mantissa) : mantissa}e${Number(exponent)}`;
  }
  if (Number.isInteger(value) || size >= 10 ** (digits - 1)) {
    return Math.round(value).toLocaleString("en-US");
  }
  const text = value.toPrecision(digits);
  return Number(text) === value ? trimmed(text) : text; // 478.03 is 478.0, so that a column stays aligned
}

/** A count with a unit prefix: 950, 98.3 k, 1.2 M. */
export function compact(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    // 999,600 would read "1000 k": the next unit takes over where the rounding reaches it.
    if (Math.abs(value) >= limit * 0.9995) {
      return `${trimmed((value / limit).toPrecision(3))}${NBSP}${unit}`;
    }
  }
  return String(Math.round(value * 10) / 10);
}

/** Seconds as 42 s, 3 m 12 s, 1 h 04 m, 2 d 3 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  if (seconds > 0 && seconds < 10) return `${trimmed(seconds.toFixed(1))}${NBSP}s`;
  if (whole < 60) return `${whole}${NBSP}s`;
  const [d, hr, m, s] = [whole / 86400, (whole / 3600) % 24, (whole / 60) % 60, whole % 60].map(Math.floor);
  if (d) return `${d}${NBSP}d${NBSP}${hr}${NBSP}h`;
  if (hr) return `${hr}${NBSP}h${NBSP}${String(m).padStart(2, "0")}${NBSP}m`;
  return `${m}${NBSP}m${NBSP}${String(s).padStart(2, "0")}${NBSP}s`;
}

/** Milliseconds since the epoch of an ISO time; one without a zone is UTC. Null for none. */
export function instant(iso) {
  if (!iso) return null;
  return Date.parse(/([zZ]|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
}

/** Local time of day, with the date unless it is today's. */
export function time(iso, now = Date.now()) {
  const at = instant(iso);
  if (at === null) return NONE;
  const date = new Date(at);
  const clock = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (date.toDateString() === new Date(now).toDateString()) return clock;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })} ${clock.slice(0, 5)}`;
}

/** Seconds from start to end, or to now while it has none; null before the start. */
export function elapsed(startedAt, endedAt, now = Date.now()) {
  const start = instant(startedAt);
  if (start === null) return null;
  return Math.max(0, ((instant(endedAt) ?? now) - start) / 1000);
}

/** A value of a configuration: numbers shortened, lists and objects as JSON. */
export function value(given) {
  if (given === null || given === undefined) return given === null ? "null" : NONE;
  if (typeof given === "number") return number(given);
  if (Array.isArray(given)) return `[${given.map(value).join(", ")}]`;
  return typeof given === "object" ? JSON.stringify(given) : String(given);
}

/** The last part of a metric's or hyperparameter's path. */
export function short(path) {
  return path ? path.split("/").at(-1) : "";
}

const REASONS = {
  stop_rule: "stop rule",
  done: "done",
  scheduler: "stopped early",
  budget: "out of time",
  user: "by the user",
  failure: "failed",
};

/** Why a trial ended, in words; an experiment's reason is a sentence already. */
export function reason(word) {
  return word ? (REASONS[word] ?? word) : "";
}

/** The line of an error that says what happened: the first, or a bare traceback's last. */
export function errorLine(error) {
  const lines = (error ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) return "";
  return lines[0].startsWith("Traceback") ? lines.at(-1) : lines[0];
}
