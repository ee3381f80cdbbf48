// Line icons of 24 units, drawn for this page.

import { html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const PATHS = {
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  folder: "M3 7a2 2 0 0 1 2-2h4l2 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  download: "M12 4v11m-5-5 5 5 5-5M5 20h14",
  delete: "M4 7h16M10 11v6m4-6v6M6 7l1 12a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1l1-12M9 7V4h6v3",
  help: "M9.2 9a2.9 2.9 0 1 1 4.3 2.5c-1 .6-1.5 1.2-1.5 2.3M12 17.2v.1M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  next: "m9 6 6 6-6 6",
  line: "m9 6-6 6 6 6M15 6l6 6-6 6",
  wipe: "M12 3v18M3 5h18v14H3zM16 9l2.5 3-2.5 3M8 9l-2.5 3L8 15",
  side: "M3 5h8v14H3zM13 5h8v14h-8z",
  original: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  "zoom.in": "M11 8v6M8 11h6M16 16l5 5M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14z",
  "zoom.out": "M8 11h6M16 16l5 5M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14z",
  frame: "M7 3v14h14M3 7h14v14",
  "brush.paint": "M20 4 9.5 14.5M9 14c-3 0-3 3-5.5 5.5C7 20.5 11 20 11 16zM9 14l2 2",
  "brush.clear": "M4 4h16v16H4zM9 9l6 6M15 9l-6 6",
  "brush.erase": "M9 19 4 14l9-9 6 6-8 8zM8 10l6 6M9 19h11",
  undo: "M4 9h10a5.5 5.5 0 0 1 0 11H9M8 5 4 9l4 4",
  "frame.left": "M4 9a8.5 8.5 0 1 1-.5 5M4 4v5h5",
  "frame.right": "M20 9a8.5 8.5 0 1 0 .5 5M20 4v5h-5",
  "frame.print": "M4 4h16v16H4zM8.5 7.5l8 1.5-1.5 8-8-1.5z",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  warning: "M12 4 2.5 20h19zM12 10v5M12 17.4v.1",
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5v.1",
  share: "M18 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM6 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM18 22a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8.6 13.5l6.8 4M15.4 6.5l-6.8 4",
  all: "M8 8h12v12H8zM16 8V4H4v12h4",
  choosing: "M4 8V4h4M20 8V4h-4M4 16v4h4M20 16v4h-4M9 12.5l2 2 4-4.5",
  private: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  same: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20c.6-4 4-6 8-6s7.4 2 8 6",
  free: "m5 12.5 4.5 4.5L19 7",
};

/** A button with an icon, both of one name; `more` has further properties. */
export const iconButton = (name, onClick, more = {}) => html`
  <button class="icon" aria-label=${say(name)} title=${say(name)} onClick=${onClick} ...${more}>${icon(name)}</button>`;

/** The same with its words, which a narrow page leaves out. */
export const wordButton = (name, onClick, more = {}) => html`
  <button class="worded" aria-label=${say(name)} title=${say(name)} onClick=${onClick} ...${more}>${icon(name)}<span class="wide">${say(name)}</span></button>`;

export const icon = (name) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
