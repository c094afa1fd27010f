// Requests to the gateway: session cookie, CSRF header, problem+json.

const TIMEOUT_MS = 15_000;

/** @typedef {{ok: boolean, status: number, body: any, detail: string}} Answer */

/** @param {string} name */
function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

/** @param {string} path @returns {Promise<Answer>} */
export function read(path) {
  return request(path, { headers: { Accept: "application/json" } });
}

/** @param {string} path @param {object} body @returns {Promise<Answer>} */
export function post(path, body) {
  const headers = {
    Accept: "application/json",
    "Content-Type": "application/json",
    "X-CSRF-Token": cookie("imv_csrf"),
  };
  return request(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** @param {string} path @returns {Promise<Answer>} */
export function remove(path) {
  return request(path, { method: "DELETE", headers: { "X-CSRF-Token": cookie("imv_csrf") } });
}

/** @param {string} path @param {RequestInit} init @returns {Promise<Answer>} */
async function request(path, init) {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(path, { ...init, credentials: "same-origin", signal });
    const body = await response.json().catch(() => null);
    return { ok: response.ok, status: response.status, body, detail: detailOf(response, body) };
  } catch {
    // The answer is lost, not necessarily the request; a repeat is refused by its version.
    const detail = "The gateway did not answer. Look at the card, then try again.";
    return { ok: false, status: 0, body: null, detail };
  }
}

/** @param {Response} response @param {any} body */
function detailOf(response, body) {
  if (response.ok) return "";
  return String(body?.detail || body?.title || `The gateway answered ${response.status}.`);
}
