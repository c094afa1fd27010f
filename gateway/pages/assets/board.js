// The board: columns by state, cards in the order in which they were promised.

import { COLUMNS, columnOf, stateName } from "./actions.js";
import { Card } from "./card.js";
import { byId, element, write } from "./elements.js";

/** @typedef {import("./stream.js").Row} Row */

/** Shows rows, and keeps focus and scroll where they are. */
export class Board {
  /** @type {Map<string, Card>} */ #cards = new Map();
  #columns = COLUMNS.map(columnElement);
  #loaded = false;
  #act;
  #now;

  /** @param {import("./card.js").Act} act @param {() => Date} now */
  constructor(act, now) {
    this.#act = act;
    this.#now = now;
    byId("board").append(...this.#columns.map((column) => column.section));
    byId("jumps").append(...this.#columns.map((column) => column.jump));
  }

  /** Show exactly these rows. @param {Row[]} rows */
  show(rows) {
    const shown = rows.filter((row) => columnOf(row.state) >= 0);
    const ids = new Set(shown.map((row) => row.id));
    const focused = this.#focused();
    for (const id of this.#cards.keys()) if (!ids.has(id)) this.#drop(id);
    for (const row of shown) this.#draw(row);
    this.#columns.forEach((column, at) => this.#arrange(column, inColumn(shown, at)));
    this.#refocus(focused);
    this.#loaded = true;
    byId("board").dataset.loaded = "true"; // before that, an empty column says nothing
  }

  /** Show ages again. */
  tick() {
    for (const card of this.#cards.values()) card.tick(this.#now());
  }

  /** Tell people who do not see the board what happened. @param {Row} row @param {boolean} gone */
  announce(row, gone) {
    const what = gone ? "left the board" : stateName(row.state);
    write(byId("news"), `Order ${row.order_number}: ${what}`);
  }

  /** @param {Row} row */
  #draw(row) {
    const before = this.#cards.get(row.id)?.row.state;
    const card = this.#card(row);
    card.update(row, this.#now());
    if (this.#loaded && before !== row.state) card.flash();
  }

  /** @param {Row} row */
  #card(row) {
    const card = this.#cards.get(row.id) ?? new Card(row, this.#act);
    this.#cards.set(row.id, card);
    return card;
  }

  /** @param {string} id */
  #drop(id) {
    this.#cards.get(id)?.element.remove();
    this.#cards.delete(id);
  }

  #focused() {
    const card = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".card"));
    return card?.dataset.id ?? "";
  }

  /** A card that moved to another column has lost the focus on its way. @param {string} id */
  #refocus(id) {
    if (!id || this.#focused() === id) return;
    const card = this.#cards.get(id);
    if (card) card.focus();
    else byId("board").focus({ preventScroll: true });
  }

  /** @param {ReturnType<typeof columnElement>} column @param {Row[]} rows */
  #arrange(column, rows) {
    for (const count of column.counts) write(count, String(rows.length));
    column.section.dataset.empty = String(rows.length === 0);
    rows.forEach((row, at) => {
      const card = this.#card(row).element;
      // Moving an element takes its focus away, so those in their place stay untouched.
      if (column.list.children[at] !== card) {
        column.list.insertBefore(card, column.list.children[at] ?? null);
      }
    });
  }
}

/** @param {Row[]} rows @param {number} at */
function inColumn(rows, at) {
  return rows.filter((row) => columnOf(row.state) === at).sort(byPromise);
}

/** @param {Row} one @param {Row} other */
function byPromise(one, other) {
  const key = (/** @type {Row} */ row) =>
    `${row.promise_latest ?? "9999"} ${row.created_at} ${row.id}`;
  return key(one) < key(other) ? -1 : 1;
}

/** @param {import("./actions.js").Column} column @param {number} at */
function columnElement(column, at) {
  const section = element("section", "column");
  const heading = element("h2", "column-title", column.title);
  const count = element("span", "count", "–");
  const head = element("div", "column-head");
  const list = element("div", "cards");
  section.dataset.column = String(at);
  heading.id = `column-${at}`;
  section.setAttribute("aria-labelledby", heading.id);
  heading.tabIndex = -1;
  head.append(heading, count);
  section.append(head, list, element("p", "hint quiet", column.hint));
  const jump = element("a", "jump", column.title);
  jump.href = `#${heading.id}`;
  const jumpCount = element("span", "count", "–");
  jump.append(jumpCount);
  return { section, counts: [count, jumpCount], list, jump };
}
