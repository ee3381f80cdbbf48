// Before and after on one canvas, moved and zoomed together: with a line between them, or side by side.

import { drawAfter, drawBefore } from "./layers.js";
import { MARGIN, View } from "./view.js";

const VEIL = 0.6; // opacity of a mask
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BEFORE = 0.2; // of a photo is seen as it was until the line is moved: the result comes first
const SIZES = { "+": 1.25, "=": 1.25, "-": 0.8 }; // of the box that the keys move
const GRIP = 28; // how near the line a drag takes it, in pixels

export class Viewer extends View {
  /**
   * `stage` holds a canvas; `changed` is called when zoom or line move, and while faces are chosen `tapped` with
   * the number of one, `drawn` with a box [x, y, w, h] in pixels of the pictures. `place` is where another
   * viewer was.
   */
  constructor(stage, { changed, tapped, drawn, place }) {
    super();
    const { photo, ...seen } = place;
    Object.assign(this, { stage, changed, tapped, drawn }, seen);
    this.canvas = stage.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.pointers = new Map();
    this.hovered = -1;
    this.aim = null; // the middle of what the keys add as a face, in shares of the picture, and its side in pixels
    this.shown = { photo, pictures: null, weights: [], boxes: [], face: null, mode: "wipe", original: false, marked: -1, choosing: false, brush: null, mask: null };
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(stage);
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave", "keydown", "keyup"]) {
      this.canvas.addEventListener(name, (event) => this[name](event));
    }
    this.canvas.addEventListener("focus", () => this.canvas.matches(":focus-visible") && this.#takeAim());
    this.canvas.addEventListener("dblclick", (event) => this.#toggle(this.#place(event)));
    this.canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Take over what is to be shown: any of the fields of `shown`. Another photo is shown whole. */
  show(fields) {
    const { shown: before, percent } = this;
    const scale = before.pictures && this.scale();
    this.shown = { ...before, ...fields };
    const { photo, mode, pictures, choosing } = this.shown;
    if (!choosing || photo !== before.photo) this.aim = null;
    if (photo !== before.photo) {
      this.fit();
      this.isNew = true;
    } else if (scale && pictures && mode !== before.mode && !this.isWhole) this.zoomBy(scale / this.scale());
    else if (percent !== this.percent) this.moved();
    this.#rest();
    if (choosing && !before.choosing && this.canvas.matches(":focus-visible")) this.#takeAim();
    this.redraw();
  }

  /** The line where it lies until it is moved. */
  #rest() {
    const { shown: { pictures }, width, line } = this;
    if (!this.isNew || !pictures || !width || !this.isWhole) return;
    this.line = this.toStage([BEFORE, 0])[0] / width;
    if (this.line !== line) this.moved();
  }

  get place() {
    const { zoom, centre, line, shown: { photo } } = this;
    return { photo, zoom, centre, line };
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  moveLine(share) {
    this.line = Math.min(1, Math.max(0, share));
    this.isNew = false;
    this.moved();
  }

  draw() {
    const { context, width, height } = this;
    const { pictures, mode, original } = this.shown;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!pictures || !width) return;
    context.imageSmoothingQuality = "medium";
    if (original) {
      this.#picture(0, 0, width, height, [0, width], "original");
      if (this.shown.brush) this.#ring(this.shown.brush);
    } else if (mode === "side") {
      const [pw, ph] = this.pane();
      const [x, y] = pw < width ? [width - pw, 0] : [0, height - ph];
      this.#picture(0, 0, pw, ph, [0, pw], "before");
      this.#picture(x, y, pw, ph, [x, x + pw], "after");
    } else {
      const at = this.line * width;
      this.#picture(0, 0, width, height, [0, at], "before");
      this.#picture(0, 0, width, height, [at, width], "after");
    }
  }

  /** One of the two pictures within a pane, of which the part between two x is drawn. */
  #picture(x, y, w, h, [from, to], which) {
    const { context } = this;
    const { pictures, weights, boxes, marked, choosing, mask, brush } = this.shown;
    const scale = this.scale();
    const [bw, bh] = pictures.size;
    const left = x + w / 2 - this.centre[0] * bw * scale;
    const top = y + h / 2 - this.centre[1] * bh * scale;
    context.save();
    context.beginPath();
    context.rect(from, y, Math.max(0, to - from), h);
    context.clip();
    if (which === "after") drawAfter(context, pictures, weights, left, top, scale);
    else drawBefore(context, pictures, left, top, scale, which === "before" ? this.shown.pinned : null);
    if (mask) {
      context.globalAlpha = VEIL;
      context.drawImage(mask, left, top, bw * scale, bh * scale);
      context.globalAlpha = 1;
    }
    const drawn = this.drag?.box ?? (this.aim && this.#boxAt(this.aim));
    [...boxes, ...(drawn ? [drawn] : [])].forEach((box, n) => {
      if (!box || !(choosing || n === marked || n === this.hovered)) return;
      const place = [left + box[0] * scale, top + box[1] * scale, box[2] * scale, box[3] * scale];
      if (!choosing && place[3] > h / 2) return; // who looks at one face needs no box around it
      outline(context, place, box === drawn ? "+" : String(n + 1), box === drawn || weights[n] > 0);
    });
    context.restore();
  }

  #resize() {
    const box = this.stage.getBoundingClientRect();
    const scale = this.width && this.shown.pictures && !this.isWhole && this.scale();
    this.ratio = window.devicePixelRatio || 1;
    [this.width, this.height] = [box.width, box.height];
    this.canvas.width = Math.round(box.width * this.ratio);
    this.canvas.height = Math.round(box.height * this.ratio);
    if (scale) this.zoomBy(scale / this.scale()); // who looks at 200 % goes on doing so
    else this.moved();
    this.#rest();
    this.draw(); // at once: a canvas of another size is empty
  }

  moved() {
    this.stage.style.setProperty("--line", `${100 * this.line}%`);
    this.stage.classList.toggle("zoomed", this.zoom > 1.001);
    this.changed();
    this.redraw();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #wheel(event) {
    event.preventDefault();
    if (event.shiftKey) this.panBy(-event.deltaY - event.deltaX, 0);
    else this.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), this.#place(event));
  }

  #toggle(at) {
    if (this.shown.brush || this.shown.choosing) return; // two dabs
    if (!this.isWhole) this.fit();
    else this.zoomTo(Math.max(200, 2 * this.percent), at);
  }

  /** The number of the face at a place in shares of the picture, or -1. */
  #faceAt(at) {
    if (!this.shown.pictures) return -1;
    const [x, y] = at.map((share, k) => share * this.shown.pictures.size[k]);
    return this.shown.boxes.findLastIndex((box) => box && x >= box[0] && x <= box[0] + box[2] && y >= box[1] && y <= box[1] + box[3]);
  }

  pointerdown(event) {
    if (event.button !== 0) return;
    const at = this.#place(event);
    this.aim = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    if (this.shown.brush) {
      this.shown.brush.at = this.toPicture(at);
      if (this.pointers.size === 1) this.#press();
      else if (this.shown.brush.stroke) this.shown.brush.undo(); // two fingers want to zoom
      return;
    }
    const near = this.shown.mode === "wipe" && Math.abs(at[0] - this.line * this.width) < GRIP;
    const pinches = this.pointers.size > 1;
    this.drag = { from: at, pinches, moved: pinches, line: !pinches && (near || (this.shown.mode === "wipe" && this.zoom <= 1.001)) };
  }

  pointermove(event) {
    const at = this.#place(event);
    const last = this.pointers.get(event.pointerId);
    if (last) this.pointers.set(event.pointerId, at);
    if (last && this.pointers.size === 2) {
      const [id] = [...this.pointers.keys()].filter((other) => other !== event.pointerId);
      const other = this.pointers.get(id);
      this.zoomBy(length(at, other) / Math.max(1, length(last, other)), middle(at, other));
      this.panBy((at[0] - last[0]) / 2, (at[1] - last[1]) / 2);
    } else if (this.shown.brush) this.#moveBrush(this.toPicture(at));
    else if (!last) {
      const face = event.pointerType === "mouse" && this.shown.pictures ? this.#faceAt(this.toPicture(at)) : -1;
      if (face === this.hovered) return;
      this.hovered = face;
      this.redraw();
    } else if (this.drag.moved || length(at, this.drag.from) > 4) {
      this.drag.moved = true;
      if (this.shown.choosing && !this.drag.pinches) this.#draw(at);
      else if (this.drag.line) this.moveLine(at[0] / this.width);
      else this.panBy(at[0] - last[0], at[1] - last[1]);
    }
  }

  /** To shares of the picture, painting where a finger, a button or the key is down. */
  #moveBrush(at) {
    const { brush } = this.shown;
    brush.at = at;
    if (brush.stroke) brush.paint();
    this.redraw();
  }

  #press() {
    const { brush, pictures } = this.shown;
    brush.begin(brush.size / (this.scale() * pictures.size[0]));
    this.#moveBrush(brush.at);
  }

  #lift() {
    this.shown.brush.end();
    this.changed();
  }

  keydown(event) {
    const { brush, choosing, pictures } = this.shown;
    if (!pictures || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = ARROWS[event.key];
    const isKnown = by || (brush ? event.key === " " : choosing && (SIZES[event.key] || event.key === "Enter"));
    if (!(brush || choosing) || !isKnown) return;
    event.preventDefault();
    event.stopPropagation(); // or it would move the picture
    if (choosing) this.#aimBy(event, by);
    else if (by) {
      const at = this.#nudged(brush.at, by, (event.shiftKey ? 2 : 0.5) * brush.size / this.scale());
      this.#moveBrush(at);
      this.#keepInSight(at);
    } else if (!event.repeat) this.#press();
  }

  /** A place moved by a step in pixels of the picture, within it. */
  #nudged(at, by, step) {
    return at.map((share, k) => Math.min(1, Math.max(0, share + (by[k] * step) / this.shown.pictures.size[k])));
  }

  #keepInSight(at) {
    if (this.toStage(at).some((place, k) => place < MARGIN || place > this.pane()[k] - MARGIN)) this.centreAt(...at);
  }

  /** Show the box that the keys move, in the middle of what is seen. */
  #takeAim() {
    const { choosing, pictures } = this.shown;
    if (!choosing || !pictures) return;
    this.aim ??= { at: this.centre, side: this.#usualSide() };
    this.redraw();
  }

  /** Move or size the box, or add what is in it; the first key only shows it. */
  #aimBy({ key, shiftKey, repeat }, by) {
    const { aim, shown: { pictures: { size } } } = this;
    if (!aim) return this.#takeAim();
    if (by) aim.at = this.#nudged(aim.at, by, (shiftKey ? 1 : 0.25) * aim.side);
    else if (SIZES[key]) aim.side = Math.min(...size, Math.max(GRIP / this.scale(), aim.side * SIZES[key]));
    else if (!repeat) {
      this.aim = null;
      this.#choose(this.#faceAt(aim.at), aim);
    }
    const box = this.#boxAt(aim);
    aim.at = size.map((side, k) => (box[k] + aim.side / 2) / side);
    this.#keepInSight(aim.at);
    this.redraw();
  }

  keyup(event) {
    if (this.shown.brush && event.key === " ") this.#lift();
  }

  /** What the brush covers. */
  #ring({ at, size, erases }) {
    const { context } = this;
    context.setLineDash(erases ? [5, 4] : []);
    for (const [colour, width] of [["rgb(0 0 0 / 70%)", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.beginPath();
      context.arc(...this.toStage(at), size / 2, 0, 7);
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** The box from where the drag began. */
  #draw(at) {
    const [a, b] = [this.drag.from, at].map((place) => this.toPicture(place).map((share, k) => share * this.shown.pictures.size[k]));
    this.drag.box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
    this.redraw();
  }

  pointerup(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const at = this.#place(event);
    if (this.shown.brush) return this.#lift();
    const { box } = this.drag;
    if (box) {
      this.drag.box = null;
      this.redraw();
      if (Math.min(box[2], box[3]) * this.scale() > GRIP) this.drawn(box);
    }
    if (this.drag.moved) return;
    if (this.shown.choosing && this.shown.pictures) {
      const place = this.toPicture(at);
      this.#choose(this.#faceAt(place), { at: place, side: this.#usualSide() });
    } else if (this.drag.line) this.moveLine(at[0] / this.width);
  }

  /** The face that was tapped, or one that was missed there. */
  #choose(face, { at, side }) {
    if (face >= 0) this.tapped(face);
    else if (at.every((share) => share >= 0 && share <= 1)) this.drawn(this.#boxAt({ at, side }));
  }

  /** How large a face is that was missed: as the others are. */
  #usualSide() {
    const { boxes, pictures: { size } } = this.shown;
    const sizes = boxes.filter(Boolean).map(([, , w, h]) => Math.sqrt(w * h)).sort((a, b) => a - b);
    return sizes[sizes.length >> 1] ?? Math.min(...size) / 4;
  }

  /** A square around a place, moved to where it lies within the picture. */
  #boxAt({ at, side }) {
    const { size } = this.shown.pictures;
    return [...at.map((share, k) => Math.min(size[k] - side, Math.max(0, share * size[k] - side / 2))), side, side];
  }

  pointercancel(event) {
    this.pointers.delete(event.pointerId);
    if (this.shown.brush) this.#lift();
  }

  pointerleave() {
    if (this.hovered < 0) return;
    this.hovered = -1;
    this.redraw();
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

const length = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

function outline(context, [x, y, w, h], text, on) {
  context.setLineDash(on ? [] : [6, 5]);
  for (const [colour, width] of [["rgb(0 0 0 / 55%)", 4], ["#fff", 2]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.beginPath();
    context.roundRect(x, y, w, h, 8);
    context.stroke();
  }
  context.setLineDash([]);
  const [bx, by] = [x, y].map((at) => Math.max(at - 9, Math.min(at, 13))); // outside the corner, unless it is cut off there
  context.beginPath();
  context.arc(bx, by, 12, 0, 7);
  context.fillStyle = on ? "#fff" : "#b9b1a4";
  context.fill();
  Object.assign(context, { fillStyle: "#1d1a16", font: "600 13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
  context.fillText(text, bx, by + 0.5);
}
