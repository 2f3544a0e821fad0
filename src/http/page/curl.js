// The line for a shell that asks for just what is on screen.

import { address, key } from "./api.js";
import { at, show } from "./dom.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function options() {
  return key() ? " -H \"Authorization: Bearer $SPIKELENS_KEY\"" : "";
}

/** The line of a search by picture. */
export function searchLine(query, parameters) {
  const url = quoted(location.origin + address("/v1/search", parameters));
  const type = `-H ${quoted(`Content-Type: ${query.type}`)}`;
  if (query.path) {
    return `curl -s${options()} ${quoted(location.origin + query.path)} |\n  curl${options()} ${type} --data-binary @- ${url}`;
  }
  return `curl${options()} ${type} --data-binary ${quoted(`@${query.file}`)} ${url}`;
}

/** The line of a search by products. */
export function recommendLine(body) {
  const url = quoted(`${location.origin}/v1/recommend`);
  return `curl${options()} -H 'Content-Type: application/json' ${url} \\\n  -d ${quoted(JSON.stringify(body))}`;
}

/** Shows a line, and for a picture that is no file yet a way to make it one. */
export async function showLine(line, query) {
  at("curl").textContent = line;
  show(at("shell"), true);
  const save = at("save");
  const unsaved = query && query.file && query.kind !== "file";
  show(save, Boolean(unsaved));
  if (!unsaved) return;
  if (save.href) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(await query.blob());
  save.download = query.file;
}

/** Takes the line away where nothing is shown. */
export const hideLine = () => show(at("shell"), false);

/** Wires the button that copies the line. */
export function startCopy() {
  const button = at("copy");
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(at("curl").textContent);
    } catch {
      // Browsers lend the clipboard to safe origins alone; a selection can be copied everywhere.
      getSelection().selectAllChildren(at("curl"));
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Select and copy it";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
}
