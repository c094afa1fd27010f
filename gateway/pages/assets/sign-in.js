// The sign-in form: a token becomes a session cookie.

import { byId, element } from "./elements.js";
import { post } from "./http.js";

/** Ask for a token until one is accepted; asking twice shows one form. @param {() => void} done */
export function askForToken(done) {
  const place = byId("sign-in-place");
  if (place.firstChild) return;
  const dialog = element("dialog", "sign-in");
  const form = element("form");
  const input = element("input");
  const label = element("label", "", "Access token");
  const error = element("p", "problem");
  const button = element("button", "primary", "Sign in");
  Object.assign(input, { id: "token", type: "password", name: "token", required: true });
  input.autocomplete = "current-password";
  input.setAttribute("aria-describedby", "sign-in-error");
  label.htmlFor = "token";
  error.id = "sign-in-error";
  error.setAttribute("role", "alert");
  const title = element("h2", "", "Sign in");
  title.id = "sign-in-title";
  dialog.setAttribute("aria-labelledby", title.id);
  const hint = element("p", "quiet", "Ask your operator for a token for this location.");
  form.append(title, hint, label, input, error, button);
  dialog.append(form);
  place.append(dialog);
  // Without a session there is nothing behind the form to go back to.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const answer = await post("/session", { token: input.value });
    button.disabled = false;
    if (!answer.ok) {
      error.textContent = answer.status === 401 ? "This token is not valid." : answer.detail;
      input.select();
      return;
    }
    dialog.close();
    place.replaceChildren();
    done();
  });
  dialog.showModal();
}
