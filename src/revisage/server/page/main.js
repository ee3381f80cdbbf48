// The page: photos in by drop, paste or choice; one card for each.

import * as api from "./api.js";
import { Card, save } from "./card.js";
import { zip } from "./zip.js";

const AT_ONCE = 2; // photos sent at a time; the others wait here rather than in the server's queue

const find = (id) => document.getElementById(id);
const cards = [];
const waiting = [];
let running = 0;
let server = null;

async function start() {
  try {
    server = await api.aboutServer();
    find("token").hidden = true;
    find("drop").inert = false;
    find("where-text").textContent = whereTo(server);
    tell("");
  } catch (problem) {
    if (problem.status === 401) {
      find("token").hidden = false;
      find("drop").inert = true;
      find("where-text").textContent = "Photos can be added once the token is accepted.";
      find("token-field").focus();
    } else {
      tell(problem.message);
    }
  }
}

/** Where the photo goes and for how long. */
function whereTo({ local, retention_seconds: kept }) {
  const place = local ? "Your photos stay on this computer" : `Your photos go to ${location.host} and nowhere else`;
  return `${place} and are erased ${kept === 0 ? "right after the download" : `after ${duration(kept)}`}, or when you press Delete now.`;
}

function duration(seconds) {
  const [count, unit] = seconds >= 5400 ? [seconds / 3600, "hour"] : seconds >= 90 ? [seconds / 60, "minute"] : [seconds, "second"];
  const rounded = Math.round(count);
  return `${rounded} ${unit}${rounded === 1 ? "" : "s"}`;
}

function tell(text) {
  find("trouble").textContent = text;
  find("trouble").hidden = text === "";
}

function add(files) {
  if (server === null) return;
  const troubles = [];
  for (const file of files) {
    if (file.size > server.max_bytes) {
      troubles.push(`“${file.name}” has ${mib(file.size)}; the server takes ${mib(server.max_bytes)} at most.`);
      continue;
    }
    const card = new Card(find("card"), file, changed);
    cards.push(card);
    waiting.push(card);
    find("cards").append(card.element);
    card.find(".status").textContent = "Waiting for the photos before it";
  }
  tell(troubles.join(" "));
  changed();
  next();
}

const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

async function next() {
  if (running >= AT_ONCE || waiting.length === 0) return;
  running += 1;
  const card = waiting.shift();
  next();
  await card.restore();
  running -= 1;
  next();
}

function changed(gone = null) {
  for (const list of gone ? [cards, waiting] : []) {
    const at = list.indexOf(gone);
    if (at >= 0) list.splice(at, 1);
  }
  find("photos").hidden = cards.length === 0;
  document.body.classList.toggle("has-photos", cards.length > 0);
  const done = cards.filter((card) => card.isDone).length;
  find("all").hidden = done < 2;
  find("all").textContent = `Download all ${done}`;
}

find("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});

find("token").addEventListener("submit", async (event) => {
  event.preventDefault();
  api.setToken(find("token-field").value.trim());
  await start();
  if (server === null) tell("This token is not accepted. Check it and try again.");
});

find("all").addEventListener("click", async () => {
  find("all").disabled = true;
  try {
    const files = [];
    for (const card of cards.filter((card) => card.isDone)) files.push(await card.restored());
    save({ blob: await zip(files), name: "restored photos.zip" });
    tell("");
  } catch (problem) {
    if (problem.name !== "AbortError") tell(problem.message);
  } finally {
    find("all").disabled = false;
  }
});

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) find("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  find("drop").classList.remove("over");
  if (!hasFiles(event)) return;
  event.preventDefault();
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});

start();
