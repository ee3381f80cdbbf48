// Before and after as one picture, to show to others.

import { save } from "./files.js";
import { drawAfter, drawBefore } from "./layers.js";
import { say } from "./words.js";

const SIDE = 1200; // longest side of each half in pixels
const GAP = 8;

/** Whether it went to the downloads: a phone hands it to another program. */
export async function sharePicture(photo) {
  const { pictures, weights } = photo;
  const scale = Math.min(1, SIDE / Math.max(...pictures.size));
  const [width, height] = pictures.size.map((side) => Math.round(side * scale));
  const beside = width <= 1.2 * height;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, beside ? { width: 2 * width + GAP, height } : { width, height: 2 * height + GAP });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  const [x, y] = beside ? [width + GAP, 0] : [0, height + GAP];
  drawBefore(context, pictures, 0, 0, scale);
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip(); // layers may reach beyond the picture by a part of a pixel
  drawAfter(context, pictures, weights, x, y, scale);
  context.restore();
  caption(context, say("before"), 0, height);
  caption(context, say("after"), x, y + height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  const name = `${photo.name.replace(/\.[^.]*$/, "")}.before-after.jpg`;
  const files = [new File([blob], name, { type: "image/jpeg" })];
  const hands = navigator.canShare?.({ files }) && matchMedia("(pointer: coarse)").matches;
  if (hands) await navigator.share({ files }).catch(() => {});
  else save({ blob, name });
  return !hands;
}

function caption(context, text, x, bottom) {
  context.font = "600 22px system-ui, sans-serif";
  const { width } = context.measureText(text);
  context.fillStyle = "rgb(20 18 15 / 70%)";
  context.beginPath();
  context.roundRect(x + 14, bottom - 50, width + 28, 36, 18);
  context.fill();
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(text, x + 28, bottom - 31);
}
