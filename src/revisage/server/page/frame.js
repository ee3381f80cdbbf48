// What of a photo is restored, and how it stands: turned, straightened and cropped by hand.

import { preview } from "./api.js";
import { iconButton } from "./icons.js";
import { html, useEffect, useRef } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const MOST = 20; // degrees of the slider
const LEAST = 0.05; // side of a part in shares of the photo's
const STEP = 0.01; // of an arrow key, the same
const WHOLE = [0, 0, 1, 1];
const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

/** What is changed by `Frame`: the photo as it was read and how much of it is kept, after what it was run with. */
export async function openFrame({ job, report, ran }) {
  const image = new Image();
  image.src = URL.createObjectURL(await preview(job, report.previews.includes("source") ? "source" : "before"));
  await image.decode();
  const { straighten = 0, crop = "off" } = ran;
  const print = crop === "print";
  const frame = { image, turn: report.turned, straighten, print, box: print || crop === "off" ? WHOLE : crop.split(",").map(Number) };
  if (ran.turn === "auto") turn(Object.assign(frame, { turn: 0 }), report.turned / 90); // after it was cropped
  return frame;
}

/** The options that say the same. */
export function asOptions({ turn, straighten, print, box }) {
  const part = String(box) === String(WHOLE) ? "off" : box.map((side) => Number(side.toFixed(4))).join(",");
  return { turn: String(turn || "keep"), straighten, crop: print ? "print" : part };
}

/** The box with one corner, or all of it without one, moved by shares of the photo's sides. */
function moved([x, y, w, h], corner, dx, dy) {
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  if (!corner) return [within(x + dx, 0, 1 - w), within(y + dy, 0, 1 - h), w, h];
  const side = (from, size, end, by) => {
    const low = end ? from : within(from + by, 0, from + size - LEAST);
    return [low, (end ? within(from + size + by, from + LEAST, 1) : from + size) - low];
  };
  const [[left, width], [top, height]] = [side(x, w, corner[0], dx), side(y, h, corner[1], dy)];
  return [left, top, width, height];
}

/** A quarter turn clockwise, some times over. */
function turn(frame, times) {
  for (let n = 0; n < times; n += 1) {
    const [x, y, w, h] = frame.box;
    Object.assign(frame, { turn: (frame.turn + 90) % 360, box: [1 - y - h, x, h, w] });
  }
}

export function Frame({ session, frame }) {
  const place = useRef(null);
  const { image, turn: by, straighten, print, box } = frame;
  useEffect(() => () => URL.revokeObjectURL(image.src), []);
  const set = (change) => {
    change(frame);
    session.changed();
  };
  const moving = (on) => () => place.current.classList.toggle("moving", on);

  const sides = by % 180 ? [image.naturalHeight, image.naturalWidth] : [image.naturalWidth, image.naturalHeight];
  const ratio = sides[0] / sides[1];
  const angle = (Math.PI * straighten) / 180;
  const enlarged = Math.cos(angle) + Math.max(ratio, 1 / ratio) * Math.sin(Math.abs(angle)); // as the engine has it
  const width = `${(100 * enlarged * image.naturalWidth) / sides[0]}%`;

  const drag = (corner) => ({
    onPointerDown: (event) => {
      event.stopPropagation();
      event.currentTarget.setPointerCapture(event.pointerId);
      moving(true)();
    },
    onPointerMove: (event) => {
      if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
      event.stopPropagation();
      const { clientWidth, clientHeight } = place.current;
      set(() => { frame.box = moved(frame.box, corner, event.movementX / clientWidth, event.movementY / clientHeight); });
    },
    onPointerUp: moving(false),
    onPointerCancel: moving(false),
    onKeyDown: (event) => {
      if (!(event.key in ARROWS)) return;
      event.preventDefault();
      event.stopPropagation();
      set(() => { frame.box = moved(frame.box, corner, ...ARROWS[event.key]); });
    },
  });
  const percent = (value) => `${100 * value}%`;
  const at = { left: percent(box[0]), top: percent(box[1]), width: percent(box[2]), height: percent(box[3]) };
  return html`
    <div class="stage framing">
      <div class="frame" ref=${place} style=${{ aspectRatio: String(ratio), width: `min(100cqw - 4rem, (100cqh - 4rem) * ${ratio})` }}>
        <div class="picture"><img src=${image.src} alt="" style=${{ width, transform: `translate(-50%, -50%) rotate(${by + straighten}deg)` }} />
          ${!print && html`<div class="shade" style=${at} />`}</div>
        ${!print && html`
          <div class="part" style=${at}>
            <button aria-label=${say("frame.part")} ...${drag(null)} />
            ${CORNERS.map((corner, n) => html`<button class="corner" style=${{ left: percent(corner[0]), top: percent(corner[1]) }}
              aria-label=${say("frame.corner", { n: n + 1 })} ...${drag(corner)} />`)}
          </div>`}
      </div>
      ${print && html`<p id="print-hint" class="tag tag-before">${say("frame.print.hint")}</p>`}
    </div>
    <div class="tools frame-tools" role="toolbar" aria-label=${say("frame")}>
      <label class="straighten"><span>${say("straighten")}</span>
        <input type="range" min=${-MOST} max=${MOST} step="0.1" value=${straighten} onInput=${(event) => { moving(true)(); set(() => { frame.straighten = Number(event.target.value); }); }}
          onChange=${moving(false)} /><span class="amount">${`${straighten.toFixed(1)}°`}</span></label>
      ${iconButton("frame.left", () => set(() => turn(frame, 3)))}
      ${iconButton("frame.right", () => set(() => turn(frame, 1)))}
      ${iconButton("frame.print", () => set(() => { frame.print = !print; }), { "aria-pressed": print, "aria-describedby": print ? "print-hint" : null })}
      <span class="space" />
      <button onClick=${() => session.endFrame(false)}>${say("cancel")}</button>
      <button class="primary" onClick=${() => session.endFrame(true)}>${say("apply")}</button>
    </div>`;
}
