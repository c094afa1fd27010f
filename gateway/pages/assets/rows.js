// The rows of a topic: whole rows with versions, so that repeats and late ones do no harm.

/** @typedef {import("./stream.js").Row} Row */

/** The newest known row of each id. */
export class Rows {
  /** @type {Map<string, Row>} */ #rows = new Map();
  /** @type {Map<string, number>} */ #gone = new Map();

  /** @param {Row[]} rows */
  replace(rows) {
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    this.#gone.clear();
  }

  /**
   * Apply one change; false when it says nothing new.
   * @param {"upsert" | "remove"} op
   * @param {Row} row
   */
  apply(op, row) {
    const known = this.#rows.get(row.id)?.version ?? this.#gone.get(row.id) ?? -1;
    if (row.version <= known) return false;
    if (op === "remove") {
      this.#rows.delete(row.id);
      this.#gone.set(row.id, row.version);
    } else {
      this.#gone.delete(row.id);
      this.#rows.set(row.id, row);
    }
    return true;
  }

  /** @param {string} id */
  get(id) {
    return this.#rows.get(id);
  }

  all() {
    return [...this.#rows.values()];
  }
}
