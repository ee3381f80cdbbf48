// What of a picture is seen: zoom and centre within one pane, or in two of them that move together.

const MOST = 8; // screen pixels of one pixel of the result, at most
const CLOSE = 2; // the same of a face that is looked at
const AROUND = 1.4; // sides of a face's box that are seen then
const STEP = 1.25;
export const MARGIN = 12; // around a whole picture, in pixels

export class View {
  zoom = 1; // 1 shows the whole picture
  centre = [0.5, 0.5]; // what is in the middle, in shares of the picture
  line = 0.5; // between before and after, in shares of the stage's width
  width = 0; // of the stage, in pixels
  height = 0;
  isNew = false; // nobody has moved the line of this photo yet

  /** Called when any of these has changed. */
  moved() {}

  /** Screen pixels of one pixel of the result, in percent. */
  get percent() {
    return this.shown.pictures ? Math.round((100 * this.scale()) / this.whole()) : 100;
  }

  get isWhole() {
    return this.zoom === 1;
  }

  fit() {
    this.zoom = 1;
    this.centre = [0.5, 0.5];
    this.moved();
  }

  zoomBy(factor, at = this.middle()) {
    if (!this.shown.pictures) return;
    const [x, y] = this.toPicture(at);
    this.zoom = Math.min(this.#most(), Math.max(this.#least(), this.zoom * factor));
    const [nx, ny] = this.toPicture(at);
    this.centreAt(this.centre[0] + x - nx, this.centre[1] + y - ny);
  }

  /** To `percent` of the result's own size; from the whole picture to its `face` unless told. */
  zoomTo(percent, at) {
    const { pictures, face } = this.shown;
    if (!pictures) return;
    if (face && !at && this.isWhole) this.#lookAt(face);
    this.zoomBy((percent * this.whole()) / (100 * this.scale()), at);
  }

  /** From the whole picture to its `face`, on to 200 %, and back. */
  zoomOn() {
    const { zoom, shown: { face } } = this;
    if (this.isWhole && face) this.zoomToBox(face);
    if (this.zoom !== zoom) return;
    if (this.isWhole) this.zoomTo(Math.max(200, 2 * this.percent));
    else if (this.percent < 200) this.zoomTo(200);
    else this.fit();
  }

  zoomIn = () => this.zoomBy(STEP);
  zoomOut = () => this.zoomBy(1 / STEP);

  /** Fill the view with a face, as long as its pixels stay within `CLOSE`, or twice what they are. */
  zoomToBox(box) {
    if (!this.shown.pictures) return;
    const [pw, ph] = this.pane();
    const most = CLOSE * Math.max(this.whole(), this.#fitted());
    const room = Math.min(pw / (AROUND * box[2]), ph / (AROUND * box[3]), most);
    this.zoom = Math.max(1, room / this.#fitted());
    this.#lookAt(box);
    this.centreAt(...this.centre);
  }

  #lookAt([x, y, w, h]) {
    const [width, height] = this.shown.pictures.size;
    this.centre = [(x + w / 2) / width, (y + h / 2) / height];
    this.line = 0.5;
    this.isNew = false;
  }

  panBy(dx, dy) {
    if (!this.shown.pictures) return;
    const scale = this.scale();
    const [width, height] = this.shown.pictures.size;
    this.centreAt(this.centre[0] - dx / (width * scale), this.centre[1] - dy / (height * scale));
  }

  /** Width and height of what one picture is shown in. */
  pane() {
    const { width, height } = this;
    if (this.shown.mode !== "side" || this.shown.original) return [width, height];
    return width >= height ? [(width - 2) / 2, height] : [width, (height - 2) / 2];
  }

  middle = () => this.pane().map((side) => side / 2);
  scale = () => this.#fitted() * this.zoom;

  #fitted() {
    const { size } = this.shown.pictures;
    return Math.min(...this.pane().map((side, k) => Math.max(1, side - 2 * MARGIN) / size[k]));
  }

  /** Pixels of the result for one of the picture, which may have been reduced. */
  whole() {
    const { pictures, sizeOut } = this.shown;
    return (sizeOut?.[0] ?? pictures.size[0]) / pictures.size[0];
  }

  #most = () => Math.max(1, (MOST * this.whole()) / this.#fitted());
  #least = () => Math.min(1, this.whole() / this.#fitted()); // a small photo in its own size

  /** Shares of the picture at a place of the stage. */
  toPicture([x, y]) {
    const [pw, ph] = this.pane();
    const scale = this.scale();
    const [bw, bh] = this.shown.pictures.size;
    const [px, py] = [x > pw + 2 ? x - pw - 2 : x, y > ph + 2 ? y - ph - 2 : y];
    return [this.centre[0] + (px - pw / 2) / (bw * scale), this.centre[1] + (py - ph / 2) / (bh * scale)];
  }

  /** Where shares of the picture are on the stage, in its first pane. */
  toStage(at) {
    return at.map((share, k) => this.pane()[k] / 2 + (share - this.centre[k]) * this.shown.pictures.size[k] * this.scale());
  }

  /** No further than that the picture fills the view, or stays in its middle. */
  centreAt(x, y) {
    const scale = this.scale();
    const pane = this.pane();
    this.centre = [x, y].map((share, k) => {
      const half = pane[k] / (2 * this.shown.pictures.size[k] * scale);
      return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, share));
    });
    this.moved();
  }
}
