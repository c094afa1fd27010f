// What may be done with a fulfilment, by method and state, and where it stands on the board.

/**
 * @typedef {{action: string, label: string}} Action
 * @typedef {{title: string, states: string[], hint: string}} Column
 */

const ACKNOWLEDGE = { action: "acknowledge", label: "Acknowledge" };
const START = { action: "start", label: "Start picking" };
const PICK = { action: "pick", label: "All picked" };
const STAGE = { action: "stage", label: "Put on shelf" };
const READY = { action: "ready", label: "Ready for customer" };
const COLLECT = { action: "collect", label: "Collected" };
const PACK = { action: "pack", label: "Packed" };
const HAND_OFF = { action: "hand-off", label: "Given to carrier" };

/** The first action of a state is the usual one. @type {Record<string, Record<string, Action[]>>} */
const ACTIONS = {
  pickup: {
    assigned: [ACKNOWLEDGE],
    acknowledged: [START, PICK],
    picking: [PICK],
    picked: [STAGE],
    staged: [READY],
    ready: [COLLECT],
  },
  ship: {
    assigned: [ACKNOWLEDGE],
    acknowledged: [START, PICK],
    picking: [PICK],
    picked: [PACK],
    packed: [HAND_OFF],
  },
};

/** @type {Column[]} */
export const COLUMNS = [
  { title: "New", states: ["assigned"], hint: "Nothing new" },
  { title: "Acknowledged", states: ["acknowledged"], hint: "Nothing to start" },
  { title: "Picking", states: ["picking"], hint: "Nobody is picking" },
  { title: "Picked", states: ["picked", "staged"], hint: "Nothing on the shelf" },
  { title: "Ready", states: ["ready", "packed"], hint: "Nobody is waiting" },
];

export const CLOSED = new Set([
  "collected", "handed_off", "in_transit", "delivered", "rejected", "cancelled",
]);

/** @type {Record<string, string>} */
const STATE_NAMES = {
  assigned: "New",
  acknowledged: "Acknowledged",
  picking: "Picking",
  picked: "Picked",
  staged: "On the shelf",
  ready: "Ready for customer",
  packed: "Packed, waits for the carrier",
};

/** @type {Record<string, string>} */
const METHOD_NAMES = { pickup: "Pickup", ship: "Ship", digital: "Digital", handed_over: "Counter" };

/** @param {string} method @param {string} state @returns {Action[]} */
export function actionsFor(method, state) {
  return ACTIONS[method]?.[state] ?? [];
}

/** The column of a state; -1 when the board does not show it. @param {string} state */
export function columnOf(state) {
  return COLUMNS.findIndex((column) => column.states.includes(state));
}

/** @param {string} state */
export function stateName(state) {
  return STATE_NAMES[state] ?? state;
}

/** @param {string} method */
export function methodName(method) {
  return METHOD_NAMES[method] ?? method;
}
