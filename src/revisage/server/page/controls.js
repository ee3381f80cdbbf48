// What can be chosen for a photo: presets, strengths, faces, and whatever options the server declares.

import { sentence } from "./api.js";
import { drawAfter, drawBefore } from "./layers.js";
import { icon, iconButton } from "./icons.js";
import { FRAME } from "./photo.js";
import { html, useEffect, useRef } from "./vendor/preact-htm.js";
import { has, say } from "./words.js";

const PRESETS = { gentle: [0.6, 0.25], normal: [1, 0.5], strong: [1, 1] }; // strength of the faces, cleaning of the rest
const ELSEWHERE = [...FRAME, "aligned", "clean", "damaged", "face", "faces", "guard", "label", "mask", "name", "previews", "strength"];
const OF_THE_FILE = ["format", "quality", "keep_gps"]; // no model runs again for these
const SELDOM = ["pages", ...OF_THE_FILE]; // behind a fold
const SAME_FORMAT = ["heif", "jpg", "tif"]; // other names of a format that is in the list
const CLOSE = [25, 45]; // degrees: very close to the photo, close to it
const FACE = 1.7; // sides of a face's box that a close-up shows
const CLOSE_UP = 72; // pixels of its side
/** Choose and add faces, or no more: the keys go to the photo and come back. */
export function chooseFaces(session, choosing = !session.choosing) {
  session.show({ choosing, focus: choosing ? ".stage canvas" : ".faces .label button" });
  document.querySelector(".faces .label")?.scrollIntoView({ block: "nearest" }); // the hint is below it
}
export const isNarrow = () => matchMedia("(max-width: 56rem)").matches; // as in style.css

export function Controls({ session, photo }) {
  const { settings, report } = photo;
  const declared = Object.entries(session.server?.options ?? {}).filter(([name, { enum: choices }]) =>
    !ELSEWHERE.includes(name) && choices?.length !== 1 && (name !== "revive" || settings.run.colour === "revive") && (name !== "model" || choices.length > 3));
  const some = photo.weights.length > 0;
  const faces = (some || photo.pictures) && html`<${Faces} session=${session} photo=${photo} />`;
  const first = isNarrow(); // directly below the picture
  const cleans = report?.can_clean ?? true;
  const options = (which) => declared.filter(which).sort((a, b) => (a[1].type === "boolean") - (b[1].type === "boolean")).map((option) => html`<${Option} session=${session} settings=${settings} option=${option} />`);
  const panel = useRef(null);
  useEffect(() => {
    if (!session.scroll || !(photo.pictures || photo.isBusy)) return;
    panel.current.scrollTop = session.scroll; // as before a reload
    if (panel.current.scrollTop) session.scroll = null; // or it has no room yet
  });
  return html`
    <aside ref=${panel} class="panel" aria-label=${say("settings")}>
      <div class="title"><h2>${photo.name}</h2><p class="hint">${summary(photo)}</p></div>
      ${photo.problem && html`<p class="trouble">${photo.problem.message} <${Remedies} photo=${photo} /></p>`}
      ${report?.turn_offered > 0 && html`<p class="offer">${say("turned")}
        <button onClick=${() => session.set((one) => { one.run.turn = "auto"; }, true)}>${say("turn")}</button></p>`}
      ${first && faces}
      <${Presets} session=${session} settings=${settings} />
      ${(some || !photo.isDone) && html`<${Share} label=${say("strength")} value=${settings.strength}
        set=${(value) => session.set((one) => { one.strength = value; })} />`}
      ${!first && faces}
      ${cleans && html`<${Share} label=${say("clean")} hint=${say("clean.hint")} value=${settings.run.clean ?? session.server?.options.clean?.default ?? 0.5} step=${5} late
        set=${(value) => session.set(({ run }) => session.put(run, "clean", value), true)} />`}
      <div class="options">${options(([name]) => !SELDOM.includes(name))}</div>
      <div class="row damage">
        <button disabled=${!photo.pictures || photo.isBusy} onClick=${() => session.openBrush()}>${icon("brush.paint")}${say("brush")}</button>
        ${photo.pictures?.mask && html`<label class="check"><input type="checkbox" checked=${session.repaired}
          onChange=${() => session.show({ repaired: !session.repaired })} />${say("repaired")}</label>`}
      </div>
      <details class="more"><summary>${say("file")}</summary><div class="options">${options(([name]) => SELDOM.includes(name))}</div></details>
      ${photo.pictures && html`<button onClick=${() => photo.pin()}>${icon("side")}${say(photo.pinned ? "unpin" : "pin")}</button>`}
      ${session.photos.length > 1 && html`<button onClick=${() => session.setAll()}>${icon("all")}${say("for-all")}</button>`}
      <div class="actions">
        <button class="primary download" disabled=${!photo.isDone || photo.isBusy || photo.making} onClick=${() => session.download()}>${icon("download")}${say("download")}</button>
        <button disabled=${!photo.pictures} title=${say("share")} aria-label=${say("share")} onClick=${() => session.share()}>${icon("share")}${say("share.word")}</button>
        ${iconButton("delete", () => session.remove(photo), { class: "icon delete", "aria-label": say("delete.name", { name: photo.name }) })}
      </div>
    </aside>`;
}

/** What can be done about what went wrong. */
export const Remedies = ({ photo }) => html`
  ${photo.isDamaged && html`<button onClick=${() => photo.restoreDamaged()}>${say("damaged")}</button>`}
  ${photo.isWorthAnotherTry && html`<button aria-label=${say("again.name", { name: photo.name })} onClick=${() => photo.restore()}>${say("again")}</button>`}`;

function summary({ report, isDone, weights }) {
  if (!isDone) return "";
  const n = report.faces.length;
  const notes = report.notes.filter((note) => !note.includes("--turn")); // that is offered below
  const done = weights.filter((weight) => weight > 0).length;
  const people = n === 0 ? say("no-face") : say("restored", { n, done });
  return html`${people} <span class="wide">${report.size_in.join(" × ")} → ${report.size_out.join(" × ")} ${say("pixels")}.</span> ${notes.map((note) => told(note.replace(/: --.*/, "").replace(/^under /, "< "), NOTES, "note")).join(" ")}`;
}

function Presets({ session, settings }) {
  const clean = settings.run.clean ?? session.server?.options.clean?.default;
  const set = ([strength, amount]) => session.set((one) => {
    one.strength = strength;
    session.put(one.run, "clean", amount);
  }, true);
  return html`<div class="segments words" role="group" aria-label=${say("presets")}>
    ${Object.entries(PRESETS).map(([name, values]) => html`
      <button aria-pressed=${settings.strength === values[0] && clean === values[1]} onClick=${() => set(values)}>${say(`preset.${name}`)}</button>`)}
  </div>`;
}

/** A slider, from 0 to 100 % of `whole` unless told; `late` tells of its value only when it is let go. */
function Share({ label, hint, value, set, min = 0, max = 100, step = 1, whole = 100, unit = " %", late = false }) {
  const shown = useRef(null);
  const move = (event) => {
    shown.current.firstChild.data = event.target.value + unit;
    if (!late) set(event.target.value / whole);
  };
  const at = Math.round(whole * value);
  return html`<label class="field" title=${hint}><span class="label">${label}<span class="amount" ref=${shown}>${at + unit}</span></span>
    <input type="range" min=${min} max=${max} step=${step} value=${at} onInput=${move} onChange=${(event) => late && set(event.target.value / whole)} /></label>`;
}

/** One option as the server declares it: a JSON schema decides what it looks like. */
function Option({ session, settings, option: [name, schema] }) {
  const group = OF_THE_FILE.includes(name) ? "encode" : "run";
  const value = settings[group][name] ?? schema.default;
  const set = (chosen) => session.set((one) => {
    if (name === "repair") delete one.run.mask; // the model's is wanted
    session.put(one[group], name, chosen);
  }, group === "run");
  const key = `option.${name}`;
  const label = has(key) ? say(key) : capital(name.replaceAll("_", " "));
  const hint = has(key) ? null : schema.description;
  const one = name === "scene" && schema.enum?.length === 3; // which auto is
  const choices = schema.enum?.filter((choice, n) => !SAME_FORMAT.includes(choice) && !(one && n === 2));
  if (choices) {
    const text = (choice) => (has(`${key}.${choice}`) ? say(`${key}.${choice}`) : name === "format" ? choice.toUpperCase() : name === "model" || name === "scene" ? choice : capital(choice));
    return html`<label class="field" title=${hint}><span class="label">${label}</span>
      <select name=${name} onChange=${(event) => set(event.target.value)}>${choices.map((choice) => html`<option value=${choice} selected=${choice === value}>${text(choice)}</option>`)}</select></label>`;
  }
  if (schema.type === "boolean") {
    return html`<label class="check" title=${hint}><input type="checkbox" name=${name} checked=${value} onChange=${(event) => set(event.target.checked)} />${label}</label>`;
  }
  if (schema.maximum === undefined) return null;
  if (schema.maximum === 1) return html`<${Share} label=${label} hint=${hint} value=${value} late set=${set} />`;
  return html`<${Share} label=${label} hint=${hint} value=${value} min=${schema.minimum} max=${schema.maximum} whole=${1} unit="" set=${set} />`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function Faces({ session, photo }) {
  const angles = photo.faces.flatMap(({ identity_degrees: angle }, n) => (angle === null ? [] : [`${say("face", { n: n + 1 })}: ${Math.round(angle)}°`]));
  return html`
    <section class="faces" aria-label=${say("faces")}>
      <div class="label"><h3>${say("faces")}</h3>
        <button disabled=${!photo.pictures} aria-pressed=${session.choosing} onClick=${() => chooseFaces(session)}>${icon("choosing")}${say("choosing")}</button></div>
      ${session.choosing && html`<p class="hint">${say("choosing.hint")} <span class="keys">${say("choosing.keyboard")}</span></p>`}
      <ul>${photo.faces.map((face, n) => html`<${Face} key=${n} session=${session} photo=${photo} face=${face} n=${n} />`)}</ul>
      ${angles.length > 0 && html`<details class="more"><summary>${say("angle")}</summary>
        <p class="hint">${angles.join(", ")}. ${say("angle.hint", { very: CLOSE[0], close: CLOSE[1] })}</p></details>`}
    </section>`;
}

function Face({ session, photo, face, n }) {
  const on = face.outcome === "restored" && photo.own[n] !== 0;
  const slides = on && photo.faces.length > 1;
  const percent = Math.round(100 * photo.weights[n]);
  const box = photo.boxes[n];
  const mark = (which) => () => session.show({ marked: which });
  const number = n + 1;
  return html`
    <li class=${on ? "" : "off"} onMouseEnter=${mark(n)} onMouseLeave=${mark(-1)}>
      <button class="closeups" disabled=${!box} aria-current=${session.face === n ? "true" : null} aria-label=${say("face.zoom", { n: number })} title=${say("face.zoom", { n: number })} onFocus=${mark(n)} onBlur=${mark(-1)}
        onClick=${() => session.lookAt(n)}>
        ${box ? html`<${CloseUp} photo=${photo} box=${box} before /><${CloseUp} photo=${photo} box=${box} />` : icon("same")}
      </button>
      <div class="about">
        <label class="check"><input type="checkbox" checked=${on} disabled=${face.outcome !== "restored"} aria-label=${say("face.restore", { n: number })} onChange=${() => session.toggleFace(n)} />
          <strong>${say("face", { n: number })}</strong>${slides && html`<span class="amount">${`${percent} %`}</span>`}</label>
        <small>${outcome(photo, face, on)}</small>
        ${slides && html`<input type="range" min="0" max="100" value=${percent} aria-label=${say("face.strength", { n: number })}
          onInput=${(event) => session.setFace(n, event.target.value / 100)} />`}</div>
    </li>`;
}

const REASONS = { small: /^smaller than (\d+)/, outside: /^mostly outside/, drift: /^it would drift by (\d+)/, illegible: /make it out/ };
const NOTES = { pages: /^(\d+) of its (\d+) /, there: /^damaged: about (\d+)%/, repaired: /^(.+)% of it was damaged/, undamaged: /^nothing of it looks/, much: /^(\d+)% of it looks/, eyes: /^red eyes mended: (\d+)/, tones: /^its tones/, cropped: /^crop keeps/, uncropped: /^crop changes/, clean: /^clean changes/, revive: /^revive changes/, beside: /map.* left out$|^the film/ };

/** A line of the report in words of the page where it has some. */
function told(text, patterns, group) {
  const [key, pattern] = Object.entries(patterns).find(([, pattern]) => pattern.test(text)) ?? [];
  const [, n, all] = pattern?.exec(text) ?? [];
  return key ? say(`${group}.${key}`, { n, all }) : sentence(text);
}

/** What became of a face, and what the reader wants of it. */
function outcome({ report }, face, on) {
  if (!on) {
    const why = face.outcome === "restored" ? say("left-out") : told(face.reason ?? face.outcome, REASONS, "face");
    return report.models.scene ? `${why} ${say("left-out.cleaned")}` : why;
  }
  const angle = face.identity_degrees;
  if (angle === null) return say("restored.one");
  return say(angle <= CLOSE[0] ? "very-close" : angle <= CLOSE[1] ? "quite-close" : "changed");
}

function CloseUp({ photo, box, before = false }) {
  const canvas = useRef(null);
  useEffect(() => {
    if (!photo.pictures) return; // they have been let go since this was drawn
    const side = Math.round(CLOSE_UP * (window.devicePixelRatio || 1));
    Object.assign(canvas.current, { width: side, height: side });
    const context = canvas.current.getContext("2d");
    context.imageSmoothingQuality = "high";
    const scale = side / (FACE * Math.max(box[2], box[3]));
    const [x, y] = photo.pictures.size.map((length, k) => { // the face in the middle, but nothing from beyond the photo's edge
      const room = side - length * scale;
      return room > 0 ? room / 2 : Math.min(0, Math.max(room, side / 2 - (box[k] + box[k + 2] / 2) * scale));
    });
    if (before) drawBefore(context, photo.pictures, x, y, scale);
    else drawAfter(context, photo.pictures, photo.weights, x, y, scale);
  });
  return html`<canvas ref=${canvas} />`;
}
