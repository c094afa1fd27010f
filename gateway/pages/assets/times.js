// Times for people, in the zone and language of the screen.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const MINUTE_MS = 60_000;

/** The moment that a text names; null when it names none. @param {string | null | undefined} text */
export function moment(text) {
  const found = new Date(text ?? "");
  return Number.isNaN(found.getTime()) ? null : found;
}

/** @param {Date} moment */
export function clock(moment) {
  return CLOCK.format(moment);
}

/** The time, with its day when that is not today. @param {Date} moment @param {Date} now */
export function clockOrDay(moment, now) {
  const today = moment.toDateString() === now.toDateString();
  return today ? clock(moment) : `${DAY.format(moment)}, ${clock(moment)}`;
}

/** @param {Date} moment @param {Date} now */
export function age(moment, now) {
  const minutes = Math.max(0, Math.floor((now.getTime() - moment.getTime()) / MINUTE_MS));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min ago` : `${Math.floor(hours / 24)} d ago`;
}

/** How urgent a promise is. @param {Date} promise @param {Date} now @returns {"late" | "soon" | ""} */
export function urgency(promise, now) {
  const left = promise.getTime() - now.getTime();
  if (left < 0) return "late";
  return left < 30 * MINUTE_MS ? "soon" : "";
}
