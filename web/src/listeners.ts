/** A set of callbacks in the shape that `useSyncExternalStore` wants. */
export class Listeners {
  readonly #callbacks = new Set<() => void>();

  /** Adds a callback and returns what removes it. */
  readonly subscribe = (callback: () => void): (() => void) => {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  };

  notify(): void {
    for (const callback of this.#callbacks) callback();
  }
}
