// Numbers, sizes and times as text, in the reader's language and time zone. Pure.

const UNKNOWN = "–";

const numbers = [0, 1, 2].map((digits) => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }));
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const significant = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
// Hours as logs have them; two digits are narrow.
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const clocks = [CLOCK, { ...CLOCK, second: "2-digit" }, { ...CLOCK, day: "numeric", month: "short" }].map(
  (options) => new Intl.DateTimeFormat(undefined, options),
);
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const SPANS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

const known = (write) => (value) => (Number.isFinite(value) ? write(value) : UNKNOWN);
// Two digits that tell something, or whole numbers.
const short = (value) => numbers[value >= 10 ? 0 : value >= 1 ? 1 : 2].format(value);

export const count = known((value) => numbers[0].format(value));
export const perSecond = known((value) => (value > 0 && value < 0.1 ? "<0.1/s" : `${numbers[value < 10 ? 1 : 0].format(value)}/s`));
export const decimal = known((value) => numbers[2].format(value));
export const cores = known((value) => `${decimal(value)} cores`);
export const milliseconds = known((value) => (value < 1000 ? `${short(value)} ms` : `${short(value / 1000)} s`));

export const bytes = known((value) => {
  const unit = value < 1024 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log2(value) / 10));
  return `${unit === 0 ? numbers[0].format(value) : short(value / 1024 ** unit)} ${BYTES[unit]}`;
});

// For an axis: no unit that the chart's title has already.
export const round = (value) => (value >= 10_000 ? compact : significant).format(value);

export const minute = (ms) => clocks[0].format(ms);
export const second = (ms) => clocks[1].format(ms);

// The day, too, if it is not today.
export const moment = known((ms) => clocks[new Date(ms).toDateString() === new Date().toDateString() ? 1 : 2].format(ms));

// The two largest units: "3 d 7 h".
export const duration = known((ms) => {
  let seconds = Math.max(0, Math.ceil(ms / 1000));
  const first = SPANS.findIndex(([, length]) => seconds >= length);
  if (first < 0) return "0 s";
  const parts = SPANS.slice(first, first + 2).map(([unit, length]) => {
    const whole = Math.floor(seconds / length);
    seconds -= whole * length;
    return whole > 0 ? `${whole} ${unit}` : "";
  });
  return parts.filter(Boolean).join(" ");
});

// "hour", "5 min".
export const span = (ms) => (ms === 3_600_000 ? "hour" : duration(ms));

export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
