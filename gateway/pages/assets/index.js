// The list of locations.

import { byId, element, write } from "./elements.js";
import { read, remove } from "./http.js";
import { askForToken } from "./sign-in.js";

/** @typedef {{id: string, name: string, kind: string, pickup: boolean}} Place */

async function load() {
  const answer = await read("/v1/locations");
  byId("sign-out").hidden = !answer.ok;
  if (answer.status === 401) {
    write(byId("message"), "Sign in to see the locations.");
    return askForToken(load);
  }
  if (!answer.ok) return write(byId("message"), answer.detail);
  /** @type {Place[]} */
  const places = answer.body?.locations ?? [];
  write(byId("message"), places.length ? "" : "No location is configured yet.");
  byId("locations").replaceChildren(...places.map(placeElement));
}

/** Forget who was here, and what they may see. */
async function signOut() {
  const answer = await remove("/session");
  if (!answer.ok) return write(byId("message"), answer.detail);
  byId("locations").replaceChildren();
  await load();
}

/** @param {Place} place */
function placeElement(place) {
  const item = element("li");
  const link = element("a", "location");
  link.href = `/pickup/${encodeURIComponent(place.id)}`;
  const words = element("span", "location-words");
  words.append(element("strong", "", place.name || place.id), element("span", "quiet", place.id));
  const kind = element("span", "badge", place.pickup ? `${place.kind} · pickup` : place.kind);
  link.append(words, kind);
  item.append(link);
  return item;
}

byId("sign-out").addEventListener("click", signOut);
load();
