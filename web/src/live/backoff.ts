/** Upper bound of the first wait, in ms; it doubles with every failure. */
const BASE = 1_000;
/** No wait is longer than this, in ms. */
const CAP = 30_000;

/**
 * Exponential backoff with full jitter: a wait is uniform between zero and the bound, so that the clients of a
 * restarted server do not all come back at once.
 *
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** @param random uniform in [0, 1) */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The next wait, in ms. */
  next(): number {
    const bound = Math.min(CAP, BASE * 2 ** this.#failures);
    this.#failures += 1;
    return Math.round(this.#random() * bound);
  }

  reset(): void {
    this.#failures = 0;
  }
}
