// Any strength and any choice of faces, from two pictures: without and with all faces restored.

/**
 * Pasting a face adds strength × (what the face model changed); so does this, pixel by pixel. Each changed
 * pixel belongs to the face it is nearest to, measured in sizes of the face.
 */
export class Blend {
  /** `boxes`: [x, y, w, h] of each face in pixels of the pictures, which are ImageBitmaps of one size. */
  constructor(without, withAll, boxes) {
    this.width = without.width;
    this.height = without.height;
    this.low = pixels(without);
    this.high = pixels(withAll);
    this.owner = owners(this.low, this.high, this.width, boxes);
    this.picture = new ImageData(new Uint8ClampedArray(this.low), this.width, this.height);
  }

  /** Draw with `strength` 0 to 1; `included[i]` says whether face i is shown restored. */
  draw(canvas, strength, included) {
    const weights = included.map((on) => (on ? strength : 0));
    const { low, high, owner } = this;
    const out = this.picture.data;
    for (let i = 0, p = 0; i < owner.length; i += 1, p += 4) {
      if (owner[i] === 0) continue;
      const weight = weights[owner[i] - 1] ?? strength;
      out[p] = low[p] + weight * (high[p] - low[p]);
      out[p + 1] = low[p + 1] + weight * (high[p + 1] - low[p + 1]);
      out[p + 2] = low[p + 2] + weight * (high[p + 2] - low[p + 2]);
    }
    canvas.width = this.width;
    canvas.height = this.height;
    canvas.getContext("2d").putImageData(this.picture, 0, 0);
  }
}

function pixels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** For each pixel the number of its face from 1, or 0 where the pictures are the same. */
function owners(low, high, width, boxes) {
  const faces = boxes.map(([x, y, w, h]) => ({ x: x + w / 2, y: y + h / 2, size: Math.max(w, h, 1) }));
  const owner = new Uint16Array(low.length / 4);
  for (let i = 0, p = 0; i < owner.length; i += 1, p += 4) {
    if (low[p] === high[p] && low[p + 1] === high[p + 1] && low[p + 2] === high[p + 2]) continue;
    let best = Infinity;
    owner[i] = 65535; // changed, but no face to answer for it
    for (let f = 0; f < faces.length; f += 1) {
      const dx = ((i % width) - faces[f].x) / faces[f].size;
      const dy = (Math.floor(i / width) - faces[f].y) / faces[f].size;
      const distance = dx * dx + dy * dy;
      if (distance < best) {
        best = distance;
        owner[i] = f + 1;
      }
    }
  }
  return owner;
}
