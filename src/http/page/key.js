// The field for a key, shown where the server asks for one.

import { keep, key } from "./api.js";
import { at, show } from "./dom.js";

/** Asks for a key and says why; `then` goes on with it. */
export function askForKey(refusal, then) {
  const form = at("key-form");
  const said = at("key-said");
  said.textContent = key()
    ? `The server said: ${refusal.detail}.`
    : "It stays in this browser tab and goes to this server alone.";
  keep(null);
  show(form, true);
  at("key").focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    keep(at("key").value.trim());
    at("key").value = "";
    show(form, false);
    then();
  };
}
