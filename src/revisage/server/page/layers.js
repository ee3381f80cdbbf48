// The restored picture in layers: the photo without restored faces, and each restored face apart, so that any
// strength and choice of faces is drawn without the server. Pasting a face adds strength × (what the model
// changed); drawing it with that opacity gives the same.

export const TINT = "#ff4a72"; // what shows where damage is
const REACH = 1.7; // half the side of what is searched for changes around a face, in sides of its box

/**
 * What a viewer shows: {before, base, faces, size}, of ImageBitmaps and canvases. `withAll` is null where there
 * is only a result; `boxes` has [x, y, w, h] of each face in pixels of `base`, null for one that was not restored.
 */
export function layered(before, base, withAll, boxes) {
  const faces = boxes.map((box, n) => withAll && box && cutFace(base, withAll, boxes, n));
  return { before, base, faces, size: [base.width, base.height] };
}

/** Draw the result with its upper left corner at (x, y); `weights` has the strength of each face, 0 to 1. */
export function drawAfter(context, { base, faces }, weights, x, y, scale) {
  context.drawImage(base, x, y, base.width * scale, base.height * scale);
  faces.forEach((face, n) => {
    if (!face || !weights[n]) return;
    const { canvas } = face;
    context.globalAlpha = weights[n];
    context.drawImage(canvas, x + face.x * scale, y + face.y * scale, canvas.width * scale, canvas.height * scale);
  });
  context.globalAlpha = 1;
}

/** A mask's picture, white on black, as one that can be laid over the photo. */
export function tinted(mask) {
  const { width, height } = mask;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(mask, 0, 0);
  const picture = context.getImageData(0, 0, width, height);
  for (let p = 0; p < picture.data.length; p += 4) picture.data[p + 3] = picture.data[p] > 127 ? 255 : 0;
  context.putImageData(picture, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = TINT;
  context.fillRect(0, 0, width, height);
  return canvas;
}

/** Draw the photo as it was, or an earlier result of it ({pictures, weights}), at the same place and size. */
export function drawBefore(context, { before, size }, x, y, scale, earlier = null) {
  if (earlier) drawAfter(context, earlier.pictures, earlier.weights, x, y, (scale * size[0]) / earlier.pictures.size[0]);
  else context.drawImage(before, x, y, size[0] * scale, size[1] * scale);
}

/** The pixels that face `n` answers for, others transparent: those that differ and are nearest to it. */
function cutFace(low, high, boxes, n) {
  const [left, top, right, bottom] = reach(boxes[n], low);
  const [width, height] = [right - left, bottom - top];
  if (width <= 0 || height <= 0) return null;
  const from = pixels(low, left, top, width, height).data;
  const picture = pixels(high, left, top, width, height);
  const to = picture.data;
  const rivals = boxes.map((box) => box && { x: box[0] + box[2] / 2 - left, y: box[1] + box[3] / 2 - top, size: Math.max(box[2], box[3], 1) });
  const near = rivals.filter((rival, m) => rival && m !== n && meets(reach(boxes[m], low), [left, top, right, bottom]));
  const own = rivals[n];
  for (let y = 0, p = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, p += 4) {
      const same = from[p] === to[p] && from[p + 1] === to[p + 1] && from[p + 2] === to[p + 2];
      if (same || near.some((rival) => distance(rival, x, y) < distance(own, x, y))) to[p + 3] = 0;
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return { canvas, x: left, y: top };
}

/** Squared, in sizes of the face. */
const distance = (face, x, y) => ((x - face.x) ** 2 + (y - face.y) ** 2) / face.size ** 2;

const meets = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

function reach([x, y, w, h], { width, height }) {
  const half = REACH * Math.max(w, h);
  const [cx, cy] = [x + w / 2, y + h / 2];
  return [Math.max(0, Math.floor(cx - half)), Math.max(0, Math.floor(cy - half)), Math.min(width, Math.ceil(cx + half)), Math.min(height, Math.ceil(cy + half))];
}

function pixels(bitmap, left, top, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, -left, -top);
  return context.getImageData(0, 0, width, height);
}
