// What is seen: components of Preact, drawn from the session and its photos.

import { BrushTools } from "./brush.js";
import { Controls, Remedies, isNarrow } from "./controls.js";
import { photosOf } from "./files.js";
import { Frame } from "./frame.js";
import { icon, iconButton } from "./icons.js";
import { setToken } from "./api.js";
import { html, useEffect, useLayoutEffect, useRef } from "./vendor/preact-htm.js";
import { Viewer } from "./viewer.js";
import { LANGUAGES, brief, choose, duration, language, say } from "./words.js";

const ACCEPT = "image/*,.heic,.heif,.avif,.tif,.tiff,.webp,.bmp,.jxl,.jp2,.j2k,.dng,.cr2,.cr3,.nef,.arw,.raf,.orf,.rw2";
const SHORTCUTS = { "+ −": "zoom", "0 1 2": "zoom.to", "← → ↑ ↓": "pan", B: "side", O: "original", F: "full", N: "face.next", C: "choosing", "+ − ⏎": "choosing.keys", R: "frame", P: "brush", "[ ] E Z": "brush.keys", M: "repaired", ", .": "photo.next", D: "download", Del: "delete", Z: "undo", Esc: "leave", "?": "help" };
const canChooseFolder = "webkitdirectory" in HTMLInputElement.prototype && matchMedia("(pointer: fine)").matches;

export function App({ session }) {
  const { photos, needsToken } = session;
  useEffect(() => document.body.classList.toggle("working", photos.length > 0), [photos.length > 0]);
  return html`
    <${Header} session=${session} />
    <main>
      ${session.trouble && html`<p class="trouble" role="alert">${session.trouble}</p>`}
      ${needsToken ? html`<${Token} session=${session} />` : photos.length ? html`<${Work} session=${session} />` : html`<${Empty} session=${session} />`}
    </main>
    <${Toast} session=${session} />
    <${Help} session=${session} />
    <div class="landing" aria-hidden="true"><p>${icon("add")}${say("drop.here")}</p></div>`;
}

function Header({ session }) {
  const { photos } = session;
  const done = photos.filter((photo) => photo.isDone).length;
  const { share, left, done: ready, total } = session.progress;
  return html`
    <header class="top">
      <p class="brand"><img src="page/icon.svg" alt="" width="28" height="28" />Revisage</p>
      ${share !== null && html`
        <div class="total">
          <p><span class="done">${say("total", { done: ready, total })}${left !== null && " · "}</span>${left !== null && html`<span class="wide">${say("left", { time: duration(left) })}</span><span class="narrow" aria-hidden="true">${brief(left)}</span>`}</p>
          <progress value=${share} aria-label=${say("total.name")} />
        </div>`}
      <nav aria-label=${say("page")}>
        ${photos.length > 0 && html`<${Chooser} session=${session} className="button" />`}
        ${done > 1 && html`<button class="primary" disabled=${session.packing} onClick=${() => session.downloadAll()} aria-label=${say("download.all", { n: done })}>
          ${icon("download")}<span class="narrow">${done}</span><span class="wide">${session.packing ? say("packing") : say("download.all", { n: done })}</span></button>`}
        ${iconButton("help", () => document.getElementById("help").showModal())}
      </nav>
    </header>`;
}

/** The label of a file input. */
function Chooser({ session, className, folder = false }) {
  const take = (event) => {
    session.add(folder ? photosOf(event.target.files) : event.target.files);
    event.target.value = ""; // the same file may be chosen again
  };
  const id = folder ? "folder" : "files";
  return html`<span class="chooser">
    <input id=${id} class="away" type="file" multiple accept=${ACCEPT} webkitdirectory=${folder} onChange=${take} />
    <label class=${className} for=${id}>${icon(folder ? "folder" : "add")}<span class=${className === "button" ? "wide" : ""}>${say(folder ? "choose.folder" : "choose")}</span></label>
  </span>`;
}

function Token({ session }) {
  const send = (event) => {
    event.preventDefault();
    setToken(event.target.elements[0].value.trim());
    session.start();
  };
  return html`
    <form class="token" onSubmit=${send}>
      <h1>${say("token")}</h1>
      <label for="token-field">${say("token.field")}</label>
      <p class="hint">${say("token.hint")}</p>
      <div class="row"><input id="token-field" type="password" autocomplete="off" required minlength="16" autofocus />
        <button class="primary">${say("continue")}</button></div>
    </form>`;
}

function Empty({ session }) {
  const sample = async () => session.add([new File([await (await fetch("page/sample.jpg")).blob()], "sample.jpg", { type: "image/jpeg" })]);
  return html`
    <div class="empty">
      <h1>${say("heading")}</h1>
      <p class="lead">${say("lead")}</p>
      <section class="drop" aria-label=${say("choose")}>
        <svg class="art" viewBox="0 0 96 72" aria-hidden="true">
          <rect x="16" y="10" width="52" height="46" rx="3" transform="rotate(-7 42 33)" /><rect x="30" y="14" width="52" height="46" rx="3" />
          <circle cx="56" cy="33" r="8" /><path d="M42 55c1-9 7-13 14-13s13 4 14 13" />
        </svg>
        <p class="drop-title">${say("drop.here")}</p>
        <div class="row">
          <${Chooser} session=${session} className="button primary" />
          ${canChooseFolder && html`<${Chooser} session=${session} className="button" folder />`}
        </div>
        <p class="hint">${say("paste")}</p>
      </section>
      <button class="sample" onClick=${sample} disabled=${session.server === null}>
        <img src="page/sample.jpg" alt="" width="72" height="72" /><span><strong>${say("sample")}</strong><small>${say("sample.hint")}</small></span>${icon("next")}
      </button>
      <ul class="promises">
        ${["private", "same", "free"].map((name) => html`<li>${icon(name)}<span><strong>${say(`promise.${name}`)}</strong>${name === "private" ? whereTo(session.server) : say(`promise.${name}.more`)}</span></li>`)}
      </ul>
      <footer><p>${say("guess")}</p><${Foot} /></footer>
    </div>`;
}

function Foot() {
  return html`<p class="foot">
    <label>${say("language")} <select onChange=${(event) => choose(event.target.value)}>
      ${Object.entries(LANGUAGES).map(([tag, name]) => html`<option value=${tag} selected=${tag === language}>${name}</option>`)}
    </select></label>
    <a href="docs">${say("developers")}</a></p>`;
}

/** Where the photos go and for how long. */
function whereTo(server) {
  if (server === null) return say("asking");
  const place = server.local ? say("where.local") : say("where.host", { host: location.host });
  const kept = server.retention_seconds;
  return `${place} ${kept === 0 ? say("kept.not") : say("kept", { time: duration(kept) })}`;
}

function Work({ session }) {
  const { current } = session;
  return html`
    <h1 class="away">${say("heading")}</h1>
    <${Failures} session=${session} />
    <div class=${`work ${session.brush ? "painting" : ""}`}>
      <section class="look" tabindex="-1" aria-label=${say("viewer")}>
        ${session.framing ? html`<${Frame} session=${session} frame=${session.framing} />` : html`
          <${Stage} session=${session} photo=${current} />
          ${session.brush ? html`<${BrushTools} session=${session} brush=${session.brush} />` : html`<${Tools} session=${session} photo=${current} />`}`}
      </section>
      ${session.photos.length > 1 && html`<${Film} session=${session} />`}
      <${Controls} key=${current.key} session=${session} photo=${current} />
    </div>`;
}

/** What went wrong, together, with what can be done about it. */
function Failures({ session }) {
  const failed = session.photos.filter((photo) => photo.hasFailed);
  if (!failed.length) return null;
  return html`
    <details class="failures" open=${failed.length < 3 && !isNarrow()}>
      <summary>${icon("warning")}<span role="alert">${say("failures", { n: failed.length })}</span>${icon("next")}</summary>
      <ul>${failed.map((photo) => html`
        <li key=${photo.key}><button class="link" onClick=${() => session.choose(photo)}>${photo.name}</button> <span>${photo.problem.message}</span>
          <${Remedies} photo=${photo} />
          <button aria-label=${say("delete.name", { name: photo.name })} onClick=${() => session.remove(photo)}>${say("remove")}</button></li>`)}
      </ul>
    </details>`;
}

function Stage({ session, photo }) {
  const place = useRef(null);
  const { mode, choosing, marked, brush } = session;
  const original = session.original || brush !== null;
  const pictures = photo.pictures ?? photo.sketch ?? null;
  useLayoutEffect(() => { // before it is painted, or an empty stage would be seen
    const changed = () => session.show({ place: viewer.place });
    const viewer = new Viewer(place.current, { changed, tapped: (n) => session.toggleFace(n), drawn: (box) => session.addFace(box), place: session.place });
    session.viewer = viewer;
    return () => {
      viewer.close();
      session.viewer = null;
    };
  }, []);
  useLayoutEffect(() => session.viewer.show({
    photo: photo.key, pictures, weights: photo.weights, boxes: photo.boxes, face: session.faceBox, pinned: photo.pinned, sizeOut: photo.report?.size_out, mode, original, choosing, marked,
    brush, mask: brush?.canvas ?? (session.repaired ? pictures?.mask : null),
  }));
  const line = Math.round(100 * (session.viewer?.line ?? 0.5));
  const stacked = session.viewer && session.viewer.width < session.viewer.height;
  return html`
    <div ref=${place} class=${`stage ${mode} ${pictures ? "" : "bare"} ${stacked ? "stacked" : ""} ${choosing ? "choosing" : ""} ${brush ? "brushing" : ""}`}>
      ${!pictures && photo.thumb && html`<img class="thumb" src=${photo.thumb} alt="" />`}
      <canvas role=${brush || choosing ? "application" : "img"} aria-label=${brush ? say("brush.canvas") : choosing ? say("choosing.canvas") : say("canvas", { name: photo.name })} tabindex=${pictures ? 0 : -1} />
      ${pictures && mode === "wipe" && !original && html`
        <input class="line away" type="range" min="0" max="100" value=${line} aria-label=${say("line")}
          aria-valuetext=${say("line.value", { before: line, after: 100 - line })} onInput=${(event) => session.viewer.moveLine(event.target.value / 100)} />
        <div class="handle" aria-hidden="true">${icon("line")}</div>`}
      ${pictures && html`<span class="tag tag-before" aria-hidden="true">${say(brush ? "brush.hint" : photo.pinned ? "earlier" : "before")}</span>`}
      ${pictures && !original && html`<span class="tag tag-after" aria-hidden="true">${say("after")}</span>`}
      <${Status} photo=${photo} small=${pictures !== null} />
    </div>`;
}

function Status({ photo, small }) {
  const shown = photo.isBusy || photo.making || (!small && photo.state === "failed") || (photo.isDone && !small);
  const words = photo.making ? say("making") : photo.isDone && !photo.isBusy ? say("loading") : statusOf(photo);
  return html`
    <div class=${`status ${small ? "small" : ""} ${photo.state}`} hidden=${!shown}>
      <p>${words}</p>
      ${photo.state !== "failed" && html`<progress value=${photo.making || photo.isDone && !photo.isBusy ? undefined : photo.share} aria-label=${say("progress")} />`}
    </div>
    <p class="away" role="status">${shown ? words : photo.isDone ? say("done") : ""}</p>`;
}

/** How far a photo is, in words that change with its stages only. */
export function statusOf(photo) {
  if (photo.state === "failed") return photo.problem.message;
  if (photo.state === "queued") return photo.ahead ? say("queued", { n: photo.ahead }) : say("next");
  if (photo.state !== "running") return say(photo.state);
  const { stage, total } = photo.steps;
  return stage === "find" ? say(total ? "stage.found" : "stage.found.none", { n: total }) : say(`stage.${stage}`);
}

function Tools({ session, photo }) {
  const { viewer, mode } = session;
  const off = !(photo.pictures ?? photo.sketch);
  const button = (name, act, more = {}) => iconButton(name, act, { disabled: off, ...more });
  const hold = (on) => () => session.show({ original: on });
  const isKey = (event) => [" ", "Enter"].includes(event.key) && !event.repeat;
  const modes = ["wipe", "side"];
  return html`
    <div class="tools" role="toolbar" aria-label=${say("tools")}>
      <div class="segments">
        ${modes.map((name) => button(name, () => session.show({ mode: name }), { "aria-pressed": mode === name }))}
      </div>
      ${button("original", () => {}, {
        class: "icon hold", onPointerDown: hold(true), onPointerUp: hold(false), onPointerLeave: hold(false), onContextMenu: (event) => event.preventDefault(),
        onKeyDown: (event) => isKey(event) && hold(true)(), onKeyUp: hold(false), onBlur: hold(false),
      })}
      ${button("frame", () => session.openFrame(), { disabled: !photo.pictures })}
      <span class="space" />
      ${button("zoom.out", () => viewer.zoomOut())}
      <button class="percent" disabled=${off} title=${say("zoom.on")} aria-label=${say("zoom.now", { n: viewer?.percent ?? 100 })}
        onClick=${() => viewer.zoomOn()}>${off ? "–" : `${viewer?.percent ?? 100} %`}</button>
      ${button("zoom.in", () => viewer.zoomIn())}
      ${document.fullscreenEnabled && button("full", fullScreen)}
    </div>`;
}

export function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.querySelector(".look")?.requestFullscreen?.();
}

function Film({ session }) {
  const { photos, current } = session;
  const list = useRef(null);
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [current]);
  return html`
    <nav class="film" aria-label=${say("photos")}><ul ref=${list}>
      ${photos.map((photo) => html`
        <li key=${photo.key}><button class=${photo.state} aria-current=${photo === current ? "true" : null} title=${photo.name}
          aria-label=${`${photo.name}, ${photo.state === "done" ? say("done") : statusOf(photo)}`} onClick=${() => session.choose(photo)}>
          ${photo.thumb ? html`<img src=${photo.thumb} alt="" />` : icon("photo")}
          ${photo.isBusy && html`<span class="bar"><i style=${{ width: `${100 * photo.share}%` }} /></span>`}
          ${photo.state === "failed" && html`<span class="badge">${icon("warning")}</span>`}
        </button></li>`)}
    </ul></nav>`;
}

function Toast({ session }) {
  const { toast } = session;
  return html`<div class="toasts" role="status">
    ${toast && html`<p class="toast">${toast.text}${toast.action && html`<button onClick=${toast.action.act}>${toast.action.text}</button>`}</p>`}
  </div>`;
}

function Help({ session }) {
  const close = () => document.getElementById("help").close();
  return html`
    <dialog id="help" aria-labelledby="help-title" onClick=${(event) => event.target.id === "help" && close()}>
      <div>
        <header><h2 id="help-title">${say("help")}</h2>
          ${iconButton("close", close)}</header>
        <p class="mouse">${say("mouse")}</p>
        <p>${say("touch")}</p>
        <dl>${Object.entries(SHORTCUTS).map(([keys, name]) => html`<div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${say(name)}</dd></div>`)}</dl>
        <p class="hint">${whereTo(session.server)} ${say("guess")}</p>
        <${Foot} />
      </div>
    </dialog>`;
}
