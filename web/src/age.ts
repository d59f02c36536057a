const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * How long ago something was, in the largest whole unit: `now`, `12 s`, `3 min`, `2 h`, `5 d`. A time in the future
 * (the database's clock runs ahead of ours) is `now`.
 *
 * @param at ms since the epoch
 * @param now ms since the epoch
 */
export function age(at: number, now: number): string {
  const elapsed = now - at;
  if (elapsed < SECOND) return "now";
  if (elapsed < MINUTE) return `${Math.floor(elapsed / SECOND)} s`;
  if (elapsed < HOUR) return `${Math.floor(elapsed / MINUTE)} min`;
  if (elapsed < DAY) return `${Math.floor(elapsed / HOUR)} h`;
  return `${Math.floor(elapsed / DAY)} d`;
}
