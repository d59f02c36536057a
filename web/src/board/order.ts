/** Digits compare as numbers, so that game 9 stands before game 10. */
const natural = new Intl.Collator("en", { numeric: true });

/** A total order of game ids: it never depends on names or odds, so that no card ever jumps. */
export function byId(a: string, b: string): number {
  // The collator finds "01" and "1" equal; the plain comparison then decides.
  return natural.compare(a, b) || (a < b ? -1 : Number(a > b));
}

/** Merges new ids into sorted ones, without sorting those again. */
export function insertSorted(sorted: readonly string[], added: readonly string[]): string[] {
  const incoming = added.toSorted(byId);
  const merged: string[] = [];
  let next = 0;
  for (const id of sorted) {
    for (let candidate = incoming[next]; candidate !== undefined && byId(candidate, id) < 0; ) {
      merged.push(candidate);
      candidate = incoming[++next];
    }
    merged.push(id);
  }
  return merged.concat(incoming.slice(next));
}
