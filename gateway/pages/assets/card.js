// One card of the board. It is made once and then updated in place, so that focus stays.

import { actionsFor, methodName, stateName } from "./actions.js";
import { element, write } from "./elements.js";
import { age, clockOrDay, moment, urgency } from "./times.js";

/**
 * @typedef {import("./stream.js").Row} Row
 * @typedef {(card: Card, action: string) => void} Act
 */

const LONG_NUMBER = 9;

/** The element of one fulfilment, and what it shows. */
export class Card {
  element = element("article", "card");
  #number = element("h3", "number");
  #customer = element("p", "customer");
  #method = element("span", "badge");
  #stateText = element("span", "state quiet");
  #lines = element("ul", "lines");
  #promise = element("p", "promise");
  #age = element("p", "age quiet");
  #problem = element("p", "problem");
  #actions = element("div", "actions");
  #shown = "";
  #busy = false;

  /** @param {Row} row @param {Act} act */
  constructor(row, act) {
    this.row = row;
    this.act = act;
    this.#number.id = `number-${row.id}`;
    this.element.tabIndex = -1;
    this.element.dataset.id = row.id;
    this.element.setAttribute("aria-labelledby", this.#number.id);
    this.#problem.setAttribute("role", "alert");
    this.#problem.hidden = true;
    const head = element("div", "card-head");
    head.append(this.#number, this.#method);
    const times = element("div", "times");
    times.append(this.#promise, this.#age);
    this.element.append(head, this.#customer, this.#lines, times, this.#problem, this.#actions);
    this.#customer.after(this.#stateText);
  }

  /** @param {Row} row @param {Date} now */
  update(row, now) {
    const changed = this.row.version !== row.version;
    this.row = row;
    if (changed) this.say("");
    const number = row.order_number || row.order_id;
    write(this.#number, number);
    this.#number.dataset.long = String(number.length > LONG_NUMBER);
    write(this.#customer, row.customer_label || "");
    write(this.#method, methodName(row.method));
    write(this.#stateText, stateName(row.state));
    this.element.dataset.method = row.method;
    this.element.dataset.state = row.state;
    this.#showLines(row.lines ?? []);
    this.#showActions();
    this.tick(now);
  }

  /** Show what changes with time alone. @param {Date} now */
  tick(now) {
    const created = moment(this.row.created_at);
    write(this.#age, created ? age(created, now) : "");
    const promise = moment(this.row.promise_latest);
    const urgent = promise ? urgency(promise, now) : "";
    this.element.dataset.urgency = promise ? urgent : "none";
    const when = promise ? clockOrDay(promise, now) : "";
    const words = urgent === "late" ? `Late: promised ${when}` : `Promised ${when}`;
    write(this.#promise, promise ? words : "No promise");
  }

  /** Show a message for people on the card; none hides it. @param {string} text */
  say(text) {
    write(this.#problem, text);
    this.#problem.hidden = !text;
  }

  /** Draw the eye for a moment to what has just come, or come on. */
  flash() {
    this.element.dataset.fresh = "";
    this.element.addEventListener("animationend", () => delete this.element.dataset.fresh, { once: true });
  }

  /** @param {boolean} busy */
  setBusy(busy) {
    this.#busy = busy;
    this.element.setAttribute("aria-busy", String(busy));
    // Not `disabled`: that would take the focus away from whoever pressed it.
    for (const button of this.#actions.children) {
      button.setAttribute("aria-disabled", String(busy));
    }
  }

  /** Put the focus on the first button, or on the card. */
  focus() {
    const first = /** @type {HTMLElement | null} */ (this.#actions.firstElementChild);
    (first ?? this.element).focus({ preventScroll: true });
  }

  /** @param {{sku: string, title: string, quantity: number, short: number}[]} lines */
  #showLines(lines) {
    const shown = JSON.stringify(lines);
    if (this.#lines.dataset.shown === shown) return;
    this.#lines.dataset.shown = shown;
    this.#lines.replaceChildren(...lines.map(lineElement));
  }

  #showActions() {
    const actions = actionsFor(this.row.method, this.row.state);
    const shown = actions.map((each) => each.action).join(" ");
    if (this.#shown === shown) return;
    this.#shown = shown;
    const had = this.#actions.contains(document.activeElement);
    this.#actions.replaceChildren(...actions.map((each, at) => this.#button(each, at === 0)));
    if (this.#busy) this.setBusy(true);
    if (had) this.focus();
  }

  /** @param {{action: string, label: string}} each @param {boolean} usual */
  #button(each, usual) {
    const button = element("button", usual ? "primary" : "secondary", each.label);
    button.type = "button";
    button.dataset.action = each.action;
    button.setAttribute("aria-describedby", this.#number.id);
    button.addEventListener("click", () => {
      if (!this.#busy) this.act(this, each.action);
    });
    return button;
  }
}

/** @param {{sku: string, title: string, quantity: number, short: number}} line */
function lineElement(line) {
  const item = element("li");
  const words = element("span", "line-title", line.title || line.sku);
  item.append(element("span", "quantity", `${line.quantity} ×`), words);
  if (line.title) item.append(element("span", "sku quiet", line.sku));
  if (line.short) item.append(element("span", "short", `${line.short} short`));
  return item;
}
