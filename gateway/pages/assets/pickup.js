// The pickup board of one location: rows come by stream, actions go by HTTP.

import { CLOSED } from "./actions.js";
import { Board } from "./board.js";
import { byId, write } from "./elements.js";
import { post, read } from "./http.js";
import { Rows } from "./rows.js";
import { askForToken } from "./sign-in.js";
import { Stream } from "./stream.js";
import { clock, clockOrDay } from "./times.js";

/** @typedef {import("./stream.js").Row} Row */

const place = decodeURIComponent(location.pathname.split("/").filter(Boolean)[1] ?? "");
const UNKNOWN = `The network has no location ${place}.`;
const rows = new Rows();
const board = new Board(act, () => stream.now());
const stream = new Stream(`board:${place}`, {
  snapshot: (all) => {
    rows.replace(all);
    show();
  },
  change: apply,
  status: showStatus,
});

/** @param {"upsert" | "remove"} op @param {Row} row */
function apply(op, row) {
  if (!rows.apply(op, row)) return;
  show();
  board.announce(row, op === "remove");
}

let drawing = false;
let known = true; // whether the network has this place

/** Draw at the next frame, once, however many changes come until then. */
function show() {
  if (drawing) return;
  drawing = true;
  const draw = () => {
    drawing = false;
    const all = rows.all();
    board.show(all);
    write(byId("summary"), all.length === 1 ? "1 open order" : `${all.length} open orders`);
    const fresh = all.filter((row) => row.state === "assigned").length;
    document.title = `${fresh ? `(${fresh}) ` : ""}${place} · Pickup board`;
  };
  // A hidden page gets no frames, but must not hold changes back for ever.
  if (document.hidden) draw();
  else requestAnimationFrame(draw);
}

/** @param {import("./card.js").Card} card @param {string} action */
async function act(card, action) {
  const row = card.row;
  card.setBusy(true);
  card.say("");
  const path = `/v1/fulfilments/${encodeURIComponent(row.id)}/${action}`;
  const answer = await post(path, { version: row.version });
  card.setBusy(false);
  const present = rowIn(answer.body);
  if (present?.id === row.id) apply(CLOSED.has(present.state) ? "remove" : "upsert", present);
  if (answer.ok) return;
  if (answer.status === 401) return signIn();
  // Drawing the present row clears the card's message, so the message comes after it.
  requestAnimationFrame(() => card.say(messageOf(answer, present)));
}

/** @param {import("./http.js").Answer} answer @param {Row | null} present */
function messageOf(answer, present) {
  if (answer.status === 409 && present) return "Somebody was faster. This is the order now.";
  return answer.detail;
}

/** The row that an answer carries, alone or in a problem. @param {any} body @returns {Row | null} */
function rowIn(body) {
  const row = body?.row ?? body;
  return typeof row?.id === "string" && Number.isInteger(row.version) && row.state ? row : null;
}

/** @type {import("./stream.js").Status | null} */
let shown = null;

/** @param {import("./stream.js").Status} status */
function showStatus(status) {
  shown = status;
  if (status.state === "refused") known = true;
  const { words, banner } = known ? wordsOf(status) : { words: "Unknown", banner: UNKNOWN };
  byId("status").dataset.state = known ? status.state : "refused";
  document.body.dataset.state = known ? status.state : "unknown";
  write(byId("status-text"), words);
  write(byId("banner"), banner);
  byId("notice").hidden = !banner;
  byId("other-token").hidden = status.reason !== "forbidden";
  byId("all-locations").hidden = known && status.state !== "refused";
  tick(); // the server's time may just have become known
  if (status.state === "signed-out") signIn();
}

/** @param {import("./stream.js").Status} status */
function wordsOf(status) {
  const since = status.since ? ` since ${clockOrDay(status.since, stream.now())}` : "";
  switch (status.state) {
    case "live":
      return { words: "Live", banner: "" };
    case "waiting":
      return { words: "Catching up", banner: "" };
    case "signed-out":
      return { words: "Signed out", banner: "" };
    case "refused":
      return { words: "Refused", banner: refusal(status.reason) };
    default:
      if (!since) return { words: "Not connected", banner: "The gateway does not answer. Trying again." };
      return {
        words: `Frozen${since}`,
        banner: `Frozen${since} — showing the last known state`,
      };
  }
}

/** @param {string} reason */
function refusal(reason) {
  if (reason === "forbidden") return "Your token does not open this location's board.";
  return `The gateway refused this board (${reason || "no reason given"}). Reload the page.`;
}

function signIn() {
  askForToken(() => {
    stream.open();
    showName();
  });
}

async function showName() {
  const answer = await read("/v1/locations");
  if (!answer.ok) return;
  const found = answer.body?.locations?.find((/** @type {any} */ each) => each.id === place);
  write(byId("place"), found?.name || place);
  const before = known;
  known = Boolean(found) || shown?.state === "refused"; // a refusal has its own words
  if (known !== before && shown) showStatus(shown);
}

function tick() {
  write(byId("clock"), clock(stream.now()));
  board.tick();
}

byId("other-token").addEventListener("click", signIn);
document.title = `${place} · Pickup board`;
write(byId("place"), place);
stream.open();
showName();
tick();
setInterval(tick, 5_000);
