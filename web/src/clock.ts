import { Listeners } from "./listeners";

/** One shared second hand: everything that shows an age ticks together, and nothing ticks while nobody looks. */
export class Clock {
  readonly #listeners = new Listeners();
  #now = Date.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #users = 0;

  /** The time of the latest tick, in ms since the epoch. */
  readonly now = (): number => this.#now;

  readonly subscribe = (callback: () => void): (() => void) => {
    const remove = this.#listeners.subscribe(callback);
    if (this.#users++ === 0) this.#start();
    return () => {
      remove();
      if (--this.#users === 0) clearInterval(this.#timer);
    };
  };

  #start(): void {
    this.#now = Date.now();
    this.#timer = setInterval(() => {
      this.#now = Date.now();
      this.#listeners.notify();
    }, 1_000);
  }
}
