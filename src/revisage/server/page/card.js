// One photo: handed in, watched, compared, changed, kept or deleted.

import * as api from "./api.js";
import { Blend } from "./blend.js";
import { makeComparable } from "./compare.js";

export class Card {
  /** `element` is filled from the template; `changed` is called whenever the card is done, or gone. */
  constructor(template, file, changed) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.file = file;
    this.changed = changed;
    this.job = null; // of the options clean, colour and scale, every face at full strength
    this.damaged = false; // whether to restore what is there of a damaged file
    this.jobs = new Set(); // all that the server holds of this photo
    this.faces = [];
    this.included = [];
    this.blend = null;
    this.photoSize = [1, 1];
    this.files = new Map(); // restored files by their options
    this.stopping = new AbortController();
    this.find = (selector) => this.element.querySelector(selector);
    this.find(".name").textContent = file.name;
    this.#listen();
    this.#showThumb();
  }

  get isDone() {
    return this.job !== null;
  }

  #listen() {
    makeComparable(this.find(".stage"), (x, y) => this.#tap(x, y));
    this.find(".strength").addEventListener("input", () => this.#redraw());
    this.find(".clean").addEventListener("input", () => this.#redraw());
    for (const name of ANEW) this.find(name).addEventListener("change", () => this.restore());
    this.find(".download").addEventListener("click", () => this.#download());
    this.find(".retry").addEventListener("click", () => this.restore());
    this.find(".damaged").addEventListener("click", () => {
      this.damaged = true;
      this.restore();
    });
    this.find(".delete").addEventListener("click", () => this.delete());
  }

  async #showThumb() {
    try {
      const bitmap = await createImageBitmap(this.file);
      bitmap.close();
      this.thumb = URL.createObjectURL(this.file);
      this.find(".thumb").src = this.thumb;
      this.find(".thumb").hidden = false;
    } catch {
      // HEIC and TIFF: the browser cannot show them, the server can read them
    }
  }

  /** Restore the photo with the chosen cleaning, colours and size. Problems are told on the card. */
  async restore() {
    const { signal } = this.stopping;
    const [clean, colour, scale] = ANEW.map((name) => this.find(name).value);
    const options = { clean: clean / 100, colour, scale, ...(this.damaged && { damaged: true }) };
    this.#busy(true, "Sending the photo…");
    try {
      const done = await this.#run({ ...options, previews: "true" }, signal);
      const report = await api.report(done, signal);
      await this.#show(done, report, signal);
      this.options = options;
      const old = this.job;
      this.job = done;
      this.files.clear();
      this.#busy(false);
      if (old !== null) this.#forget(old);
    } catch (problem) {
      this.#fail(problem);
    }
    this.changed();
  }

  /** Run a job to its end and return its id. */
  async #run(options, signal) {
    const waiting = () => this.#status("Many photos are waiting at the server. Yours goes in as soon as there is room…");
    let job = null;
    if (this.job !== null) {
      try {
        job = await this.#sent(api.again(this.job, options, waiting, signal));
      } catch (problem) {
        if (problem.status !== 404) throw problem; // erased after its time: the photo is sent again
        this.jobs.delete(this.job);
      }
    }
    job ??= await this.#sent(api.submit(this.file, options, waiting, signal));
    for await (const { name, data } of api.events(job.id, signal)) {
      if (name === "queued") this.#status(data.ahead ? `Waiting: ${data.ahead} before yours` : "Next in line", 0);
      if (name === "progress") {
        this.#status(capital(data.text), data.share);
      }
      if (name === "done") return job.id;
      if (name === "failed" || name === "poisoned") {
        this.#forget(job.id);
        throw new api.Problem(data.error.status, data.error.code, `${capital(data.error.detail)}.`);
      }
      if (name === "erased") throw new api.Problem(404, "no-job", "The photo was deleted at the server.");
    }
    throw new api.Problem(0, "no-answer", "The server does not answer. Is it still running?");
  }

  /** Not broken off by a deletion, or the server might keep what it has just taken in. */
  async #sent(promise) {
    this.sending = promise;
    const job = await promise;
    this.jobs.add(job.id);
    this.stopping.signal.throwIfAborted();
    return job;
  }

  async #show(id, report, signal) {
    const has = (which) => report.previews.includes(which);
    const bitmap = async (which) => createImageBitmap(await api.preview(id, which, signal));
    const before = await api.preview(id, "before", signal);
    const pictures = has("with") ? [await bitmap("without"), await bitmap("with")] : [await bitmap("after")];
    const sameFaces = this.faces.length === report.faces.length;
    this.faces = report.faces;
    this.canClean = report.can_clean;
    if (!sameFaces) this.included = report.faces.map(() => true);
    this.photoSize = report.size_in;
    const [width, height] = [pictures[0].width, pictures[0].height];
    const [sx, sy] = [width / report.size_in[0], height / report.size_in[1]];
    const restored = report.faces.map((face) => (face.outcome === "restored" ? face.box : [1e9, 1e9, 1, 1]));
    const boxes = restored.map(([x, y, w, h]) => [x * sx, y * sy, w * sx, h * sy]);
    this.blend = pictures.length === 2 ? new Blend(...pictures, boxes) : null;
    if (this.blend === null) drawPlain(this.find(".after"), pictures[0]);
    if (this.before) URL.revokeObjectURL(this.before);
    this.before = URL.createObjectURL(before);
    this.find(".before").src = this.before;
    await this.find(".before").decode();
    this.find(".stage").style.setProperty("--ratio", width / height);
    this.find(".summary").textContent = summary(report);
    this.#listFaces();
    this.#redraw();
  }

  #listFaces() {
    const some = this.faces.some((face) => face.outcome === "restored");
    this.find(".people").hidden = this.faces.length === 0;
    this.find(".strength").closest(".field").hidden = !some;
    this.find(".clean").closest(".field").hidden = !this.canClean;
    this.find(".people ul").replaceChildren(...this.faces.map((face, n) => this.#faceItem(face, n)));
    this.find(".outlines").replaceChildren(...this.faces.map((face) => this.#outline(face)));
  }

  #faceItem(face, n) {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = this.included[n] && face.outcome === "restored";
    box.disabled = face.outcome !== "restored";
    box.addEventListener("change", () => this.#include(n, box.checked));
    label.append(box, `Face ${face.number}`, document.createElement("small"));
    item.append(label);
    return item;
  }

  #outline(face) {
    const outline = document.createElement("div");
    const [width, height] = this.photoSize;
    const [x, y, w, h] = face.box;
    outline.className = "outline";
    outline.dataset.number = face.number;
    const percent = { left: x / width, top: y / height, width: w / width, height: h / height };
    for (const [name, share] of Object.entries(percent)) outline.style.setProperty(name, `${100 * share}%`);
    return outline;
  }

  /** Whether a face was there to be taken in or left out. */
  #tap(x, y) {
    const [px, py] = [x * this.photoSize[0], y * this.photoSize[1]];
    const inside = ({ box }) => px >= box[0] && px <= box[0] + box[2] && py >= box[1] && py <= box[1] + box[3];
    const n = this.faces.findLastIndex((face) => face.outcome === "restored" && inside(face));
    if (n >= 0) this.#include(n, !this.included[n]);
    return n >= 0;
  }

  #include(n, on) {
    this.included[n] = on;
    this.#redraw();
  }

  #redraw() {
    const strength = this.find(".strength").value / 100;
    for (const name of [".strength", ".clean"]) {
      this.find(name).closest("label").querySelector(".amount").textContent = `${this.find(name).value} %`;
    }
    const boxes = this.find(".people ul").querySelectorAll("input");
    const outlines = this.find(".outlines").children;
    this.faces.forEach((face, n) => {
      const on = this.included[n] && face.outcome === "restored";
      boxes[n].checked = on;
      boxes[n].parentElement.querySelector("small").textContent = outcome(face, on);
      outlines[n].classList.toggle("out", !on);
    });
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.blend?.draw(this.find(".after"), strength, this.included));
    this.find(".note").textContent = "";
  }

  /** Strength and faces as the API takes them. */
  #wanted() {
    const strength = this.find(".strength").value / 100;
    const usable = this.faces.filter((face) => face.outcome === "restored").map((face) => face.number);
    const chosen = usable.filter((number) => this.included[number - 1]);
    if (chosen.length === usable.length) return { strength, faces: "all" };
    return chosen.length ? { strength, faces: chosen.join(",") } : { strength: 0, faces: "all" };
  }

  /** The restored file with all that is chosen: {blob, name}. */
  async restored() {
    const wanted = this.#wanted();
    const known = this.files.get(key(wanted));
    if (known) return known;
    const { signal } = this.stopping;
    const asRun = key(wanted) === key(WHOLE);
    let id = this.job;
    if (!asRun) {
      this.#busy(true, "Making the file…");
      try {
        id = await this.#run({ ...this.options, ...wanted }, signal);
      } finally {
        this.#busy(false);
      }
    }
    const file = await api.result(id, signal);
    this.files.set(key(wanted), file);
    if (!asRun) this.#forget(id);
    return file;
  }

  async #download() {
    try {
      save(await this.restored());
      this.find(".note").textContent = "Saved.";
    } catch (problem) {
      if (problem.name !== "AbortError") this.find(".note").textContent = problem.message;
    }
  }

  /** Stop, and erase what the server holds. */
  async delete() {
    this.stopping.abort();
    try {
      const sent = await this.sending?.catch(() => null);
      if (sent) this.jobs.add(sent.id);
      await Promise.all([...this.jobs].map((id) => api.erase(id)));
    } catch (problem) {
      this.stopping = new AbortController();
      this.find(".note").textContent = `It could not be deleted. ${problem.message}`;
      return;
    }
    if (this.thumb) URL.revokeObjectURL(this.thumb);
    if (this.before) URL.revokeObjectURL(this.before);
    this.element.remove();
    this.changed(this);
  }

  #forget(id) {
    this.jobs.delete(id);
    api.erase(id).catch(() => this.jobs.add(id)); // tried again with the rest
  }

  #busy(on, text = "") {
    const first = this.job === null;
    this.element.classList.toggle("busy", on);
    this.element.classList.remove("failed");
    this.element.setAttribute("aria-busy", on);
    this.find(".waiting").hidden = !first || !on;
    this.find(".stage").hidden = first;
    this.find(".controls").hidden = first;
    this.find(".controls").inert = on;
    this.find(".download").hidden = first;
    this.find(".download").disabled = on;
    this.find(".retry").hidden = true;
    this.find(".damaged").hidden = true;
    this.find(".delete").textContent = "Delete now";
    if (on) this.#status(text, 0);
    else if (!first) this.find(".note").textContent = "";
  }

  #status(text, share) {
    const place = this.job === null ? ".status" : ".note";
    if (this.find(place).textContent !== text) this.find(place).textContent = text;
    if (share !== undefined) this.find("progress").value = share;
  }

  #fail(problem) {
    if (problem.name === "AbortError") return;
    if (this.job !== null) {
      this.#busy(false);
      this.find(".clean").value = 100 * this.options.clean;
      this.find(".colour").value = this.options.colour;
      this.find(".scale").value = this.options.scale;
      this.find(".note").textContent = problem.message;
      return;
    }
    this.element.classList.add("failed");
    this.element.classList.remove("busy");
    this.element.setAttribute("aria-busy", "false");
    this.find(".summary").textContent = "";
    this.find(".status").textContent = problem.message;
    this.find(".delete").textContent = "Remove";
    const worthIt = [0, 408, 429, 500, 503].includes(problem.status);
    this.find(".retry").hidden = !worthIt;
    this.find(".damaged").hidden = problem.code !== "photo-damaged";
  }
}

const ANEW = [".clean", ".colour", ".scale"]; // controls of which a change needs the server
const WHOLE = { strength: 1, faces: "all" };
const key = ({ strength, faces }) => `${strength} ${faces}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function drawPlain(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

function summary(report) {
  const size = ([w, h]) => `${w} × ${h}`;
  const count = report.faces.length;
  const restored = report.faces.filter((face) => face.outcome === "restored").length;
  const people = count === 0 ? "No face found; the whole photo was cleaned" : `${restored} of ${count} face${count > 1 ? "s" : ""} restored`;
  const notes = report.notes.map((note) => ` ${capital(note)}.`).join("");
  return `${people}. ${size(report.size_in)} → ${size(report.size_out)} pixels.${notes}`;
}

/** What became of a face, and what the reader wants of it. */
function outcome(face, on) {
  if (face.outcome !== "restored") return face.reason ?? face.outcome;
  if (!on) return "as it was";
  const angle = face.identity_degrees;
  return angle === null ? "restored" : `restored, ${Math.round(angle)}° from the original`;
}

/** Hand a file to the browser's downloads. */
export function save({ blob, name }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
