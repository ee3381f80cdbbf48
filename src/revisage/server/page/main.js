// The page's beginning: photos in by drop and paste, and the keys.

import { setToken } from "./api.js";
import { BRUSH_KEYS } from "./brush.js";
import { chooseFaces } from "./controls.js";
import { dropped } from "./files.js";
import { Session } from "./session.js";
import { fullScreen } from "./views.js";
import { say } from "./words.js";

const given = new URLSearchParams(location.hash.slice(1)).get("token"); // of the address that --lan prints
if (given !== null) {
  setToken(given);
  history.replaceState(null, "", location.pathname);
}

const session = new Session();
window.revisage = session; // for the console

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const over = (on) => document.body.classList.toggle("over", on);
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  over(true);
});
document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
document.addEventListener("drop", async (event) => {
  over(false);
  if (!hasFiles(event)) return;
  event.preventDefault();
  const files = await dropped(event.dataTransfer);
  if (files.length) session.add(files);
  else session.say(say("no-photos"));
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) session.add(event.clipboardData.files);
});

const KEYS = {
  "+": (viewer) => viewer.zoomIn(),
  "=": (viewer) => viewer.zoomIn(),
  "-": (viewer) => viewer.zoomOut(),
  0: (viewer) => viewer.fit(),
  1: (viewer) => viewer.zoomTo(100),
  2: (viewer) => viewer.zoomTo(200),
  ArrowLeft: (viewer) => viewer.panBy(60, 0),
  ArrowRight: (viewer) => viewer.panBy(-60, 0),
  ArrowUp: (viewer) => viewer.panBy(0, 60),
  ArrowDown: (viewer) => viewer.panBy(0, -60),
  b: () => session.show({ mode: session.mode === "wipe" ? "side" : "wipe" }),
  o: () => session.show({ original: true }),
  f: fullScreen,
  c: () => chooseFaces(session),
  r: () => session.openFrame(),
  p: () => session.openBrush(),
  m: () => session.show({ repaired: !session.repaired }),
  n: () => session.nextFace(),
  ",": () => session.step(-1),
  ".": () => session.step(1),
  d: () => session.download(),
  z: () => session.toast?.action?.act(),
  Delete: () => session.current && session.remove(session.current),
  "?": () => document.getElementById("help").showModal(),
};

/** Out of what is being done with the photo, unless that would lose something. */
function leave() {
  if (session.framing) session.endFrame(false);
  else if (session.brush && !session.brush.canUndo) session.endBrush(false);
  else if (session.choosing) chooseFaces(session, false);
}

const WHILE_PAINTING = ["+", "=", "-", "0", "1", "2", "?"];

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest("dialog")) return leave();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=file]), select, textarea, dialog")) return;
  const { brush, viewer } = session;
  const key = event.key.length > 1 ? event.key : event.key.toLowerCase(); // Caps Lock
  const act = brush && !WHILE_PAINTING.includes(key) ? BRUSH_KEYS[key] : KEYS[key];
  if (!act || (!viewer && !["?", "z"].includes(key)) || (event.repeat && key === "Delete")) return;
  event.preventDefault();
  act(brush && act === BRUSH_KEYS[key] ? brush : viewer);
  if (brush) session.changed();
});
document.addEventListener("keyup", (event) => ["o", "O"].includes(event.key) && session.original && session.show({ original: false }));

addEventListener("beforeunload", (event) => (session.brush?.canUndo || session.photos.some((photo) => photo.isUnsent)) && event.preventDefault());
addEventListener("pagehide", () => session.save());
session.changed();
session.start();
setInterval(() => session.progress.share !== null && session.changed(), 1000); // the time that is left
