// Damage painted by hand: the mask of a repair, and the tools that it is painted with.

import { iconButton, wordButton } from "./icons.js";
import { TINT } from "./layers.js";
import { html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const SIDE = 1600; // longest side of the mask in pixels
const LONGEST = 96_000; // characters of its file as base64: the server takes 128 KiB of a mask
const PAINTED = 64; // alpha from which a pixel of the file is white: a thin scratch must not get lost
const SIZES = [4, 160]; // of the brush in pixels of the screen: whoever zooms in paints finer
const STEP = 1.4;

export class Brush {
  erases = false;
  size = 32;
  at = [0.5, 0.5]; // where the brush is, in shares of the picture
  stroke = null; // what is being painted
  #strokes = [];

  /** Begins with what was repaired already, and with the pictures of the photo as they lie: turned by `turned`. */
  constructor({ size, mask }, turned) {
    const shrink = Math.min(1, SIDE / Math.max(...size));
    this.canvas = new OffscreenCanvas(...size.map((side) => Math.max(1, Math.round(side * shrink))));
    this.context = this.canvas.getContext("2d");
    Object.assign(this, { mask, turned });
    this.#redraw();
  }

  get canUndo() {
    return this.#strokes.length > 0;
  }

  resize(factor) {
    this.size = Math.min(SIZES[1], Math.max(SIZES[0], this.size * factor));
  }

  /** A stroke as wide as this share of the picture's width. */
  begin(share) {
    this.stroke = { width: share * this.canvas.width, erases: this.erases, points: [] };
    this.#strokes.push(this.stroke);
  }

  /** On to where the brush is. */
  paint() {
    const { points } = this.stroke;
    points.push([this.at[0] * this.canvas.width, this.at[1] * this.canvas.height]);
    this.#draw(this.stroke, Math.max(0, points.length - 2));
  }

  end() {
    this.stroke = null;
  }

  undo() {
    this.stroke = null;
    this.#strokes.pop();
    this.#redraw();
  }

  /** Take all away, which can be undone too. */
  clear() {
    this.#strokes.push({ clears: true });
    this.#redraw();
  }

  #redraw() {
    const { context, canvas, mask } = this;
    const cleared = this.#strokes.findLastIndex((stroke) => stroke.clears);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (mask && cleared < 0) context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    for (const stroke of this.#strokes.slice(cleared + 1)) this.#draw(stroke, 0);
  }

  #draw({ width, erases, points }, from) {
    const { context } = this;
    Object.assign(context, { strokeStyle: TINT, lineWidth: width, lineCap: "round", lineJoin: "round" });
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.beginPath();
    context.moveTo(points[from][0] + 0.01, points[from][1]); // or a single dot would be no line
    for (const point of points.slice(from)) context.lineTo(...point);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  /** The mask as the API takes it, for the photo as it lay before it was turned; null where nothing is painted. */
  async file(side = SIDE) {
    const shrink = Math.min(1, side / Math.max(this.canvas.width, this.canvas.height));
    const [w, h] = [this.canvas.width, this.canvas.height].map((length) => Math.max(1, Math.round(length * shrink)));
    const [width, height] = this.turned % 180 ? [h, w] : [w, h];
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.translate(width / 2, height / 2);
    context.rotate((-this.turned * Math.PI) / 180);
    context.drawImage(this.canvas, -w / 2, -h / 2, w, h);
    const { data } = context.getImageData(0, 0, width, height);
    const row = Math.ceil(width / 8) + 1; // the first byte says: not filtered
    const bits = new Uint8Array(row * height);
    for (let n = 0; n < width * height; n += 1) {
      const x = n % width;
      if (data[4 * n + 3] >= PAINTED) bits[row * Math.floor(n / width) + 1 + (x >> 3)] |= 128 >> (x & 7);
    }
    if (!bits.some(Boolean)) return null;
    const text = btoa((await png(bits, width, height)).reduce((all, byte) => all + String.fromCharCode(byte), ""));
    return text.length > LONGEST ? this.file(0.8 * side) : text;
  }
}

/** A PNG of one bit a pixel: a tenth of what a browser makes of it. */
async function png(bits, width, height) {
  const packed = new Blob([bits]).stream().pipeThrough(new CompressionStream("deflate"));
  const head = new Uint8Array(13);
  new DataView(head.buffer).setUint32(0, width);
  new DataView(head.buffer).setUint32(4, height);
  head[8] = 1; // bit of gray
  const chunks = [chunk("IHDR", head), chunk("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())), chunk("IEND", new Uint8Array())];
  return new Uint8Array(await new Blob([new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), ...chunks]).arrayBuffer());
}

function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  let crc = -1;
  for (const byte of bytes.subarray(4, -4)) {
    crc ^= byte;
    for (let k = 0; k < 8; k += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(data.length + 8, ~crc);
  return bytes;
}

/** Keys while painting; those that move the brush are the viewer's. */
export const BRUSH_KEYS = {
  "[": (brush) => brush.resize(1 / STEP),
  "]": (brush) => brush.resize(STEP),
  e: (brush) => { brush.erases = !brush.erases; },
  z: (brush) => brush.undo(),
};

export function BrushTools({ session, brush }) {
  const set = (change) => () => {
    change();
    session.changed();
  };
  const way = (name, erases) => wordButton(name, set(() => { brush.erases = erases; }), { "aria-pressed": brush.erases === erases });
  return html`
    <div class="tools brush-tools" role="toolbar" aria-label=${say("brush")}>
      <div class="segments">${way("brush.paint", false)}${way("brush.erase", true)}</div>
      <label class="slide"><span>${say("brush.size")}</span>
        <input type="range" min=${SIZES[0]} max=${SIZES[1]} value=${brush.size} onInput=${(event) => set(() => { brush.size = Number(event.target.value); })()} /></label>
      ${wordButton("undo", set(() => brush.undo()), { disabled: !brush.canUndo })}
      ${wordButton("brush.clear", set(() => brush.clear()))}
      ${iconButton("zoom.out", () => session.viewer.zoomOut())}
      ${iconButton("zoom.in", () => session.viewer.zoomIn())}
      <span class="space" />
      <button onClick=${() => session.endBrush(false)}>${say("cancel")}</button>
      <button class="primary" onClick=${() => session.endBrush(true)}>${say("brush.apply")}</button>
    </div>`;
}
