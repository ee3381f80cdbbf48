// One photo: sent, followed, changed, made into a file, erased. It knows nothing of how it is shown.

import * as api from "./api.js";
import { layered, tinted } from "./layers.js";
import { say } from "./words.js";

const THUMB = 192; // width of a small picture in pixels
const WORTH_ANOTHER_TRY = [0, 404, 408, 429, 500, 503, 507];
export const FRAME = ["turn", "straighten", "crop"]; // the options that say what is restored of a photo
const DEFAULTS = { strength: 1, run: {}, encode: {} };

let count = 0;

/** A number of places; who takes one gives it back. */
export class Places {
  #waiting = [];
  constructor(free) {
    this.free = free;
  }

  async within(signal, work) {
    if (this.free > 0) this.free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.free += 1;
    }
  }
}

export class Photo {
  /** `session` has `changed()`, `save()`, the places `sending` and `following`; `saved` is what `toSave` gave. */
  constructor(session, file, settings, saved = null) {
    this.session = session;
    this.file = file;
    this.key = saved?.key ?? `${Date.now().toString(36)}-${(count += 1)}`;
    this.name = file?.name ?? "";
    this.settings = structuredClone({ ...DEFAULTS, ...(saved?.settings ?? settings) });
    this.job = saved?.job ?? null; // with a result
    this.source = saved?.source ?? null; // of which the server has the photo
    this.jobs = new Set(saved?.jobs); // all that the server holds of this photo
    this.own = saved?.own ?? {}; // strengths of single faces, by their index; 0 leaves one as it was
    this.ran = saved?.ran ?? null; // the settings with which `job` was run
    this.pending = saved?.pending ?? null; // the job that is being followed
    if (this.ran && !this.pending) this.settings.run = { ...this.ran };
    this.until = saved?.until ?? null; // when it is erased, where it was deleted
    this.state = "waiting";
    this.share = 0;
    this.steps = null;
    this.problem = null;
    this.report = null;
    this.pictures = null;
    this.thumb = null;
    this.pinned = null; // {pictures, weights} of an earlier result that is shown as "before"
  }

  get toSave() {
    const { key, settings, job, source, ran, pending, own, until } = this;
    return { key, settings, job, source, ran, pending, own, until, jobs: [...this.jobs] };
  }

  get isDone() {
    return this.report !== null;
  }

  get isBusy() {
    return !["done", "failed"].includes(this.state);
  }

  /** Whether it has no result, and why. */
  get hasFailed() {
    return this.state === "failed" && !this.isDone;
  }

  /** Whether closing the page would lose it. */
  get isUnsent() {
    return this.source === null && ["waiting", "sending"].includes(this.state);
  }

  get faces() {
    return this.report?.faces ?? [];
  }

  /** How strongly each face is shown, 0 to 1. */
  get weights() {
    return this.faces.map((face, n) => (face.outcome === "restored" ? this.own[n] ?? this.settings.strength : 0));
  }

  /** The box of each face in pixels of the pictures; null for one that was not restored. */
  get boxes() {
    return this.pictures ? this.#boxesIn(this.pictures.size) : [];
  }

  #boxesIn(size) {
    const [sx, sy] = size.map((side, k) => side / this.report.size_in[k]);
    return this.faces.map(({ box: [x, y, w, h], outcome }) => (outcome === "restored" ? [x * sx, y * sy, w * sx, h * sy] : null));
  }

  #tell(fields) {
    Object.assign(this, fields);
    this.session.changed();
  }

  /** Small, from the file where the browser can read it. */
  async showThumb() {
    try {
      const bitmap = await createImageBitmap(this.file, { resizeWidth: THUMB, resizeQuality: "medium" });
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
      this.#setThumb(await canvas.convertToBlob({ type: "image/jpeg" }));
    } catch {
      // HEIC and TIFF: the server's will do
    }
  }

  #setThumb(blob) {
    if (this.thumb) URL.revokeObjectURL(this.thumb);
    this.#tell({ thumb: URL.createObjectURL(blob) });
  }

  /** Restore it as `settings` say, or follow the job that does or that `isOver`. What goes wrong is told in `problem`. */
  async restore({ following = null, isOver = false } = {}) {
    this.current?.abort();
    const { signal } = (this.current = new AbortController());
    let settings = { ...this.settings.run };
    const places = this.session;
    const send = () => this.#send((settings = { ...this.settings.run }), signal);
    this.#tell({ problem: null, pending: following, share: 0, steps: null, state: isOver ? "done" : this.source ? "queued" : "waiting" });
    try {
      let id = following;
      if (id === null) id = await (this.source === null ? places.sending.within(signal, send) : send());
      if (following === null && !same(settings, this.settings.run)) return this.restore(); // changed meanwhile
      this.#tell({ pending: id });
      const tell = (fields) => {
        this.#tell(fields);
        if (fields.steps?.stage === "scene") this.#sketch(id, signal);
      };
      const follow = () => this.#follow(id, signal, isOver ? () => {} : tell);
      await (this.isDone && following === null ? follow() : places.following.within(signal, follow));
      await this.#take(id, settings, signal);
    } catch (problem) {
      if (signal.aborted || problem.name === "AbortError") return;
      this.#tell({ problem, state: "failed", pending: this.isDone ? null : this.pending });
      if (this.isDone) this.settings.run = { ...this.ran };
      if (problem.status === 0) this.session.lost();
      else if (!this.isDone) this.session.failed(this);
    }
  }

  /** Hand the photo in, again if the server has it; returns the id of the job. */
  async #send(settings, signal, extra = { previews: true }) {
    const query = { ...settings, ...extra };
    const waiting = () => this.#tell({ state: "crowded" });
    let job = null;
    // Neither is broken off by a deletion, or the server might keep what it has just taken in.
    if (this.source !== null) {
      job = await (this.sending = api.again(this.source, query, waiting, signal).catch((problem) => {
        if (problem.status !== 404 || !this.file) throw problem;
        return null; // erased after its time: the photo is sent again
      }));
    }
    if (job === null) {
      this.#tell({ state: "sending" });
      const { mask, ...rest } = query;
      job = await (this.sending = api.submit(this.file, rest, waiting, signal));
      this.source = job.id;
      if (mask) return this.#send(settings, signal, extra); // which the address has no room for
    }
    this.jobs.add(job.id);
    this.session.changed();
    if (signal.aborted && job.id !== this.source) this.#forget(job.id);
    signal.throwIfAborted();
    return job.id;
  }

  /** Until the job is done, telling how far it is. */
  async #follow(id, signal, tell) {
    for await (const { name, data } of api.events(id, signal)) {
      if (name === "queued") tell({ state: "queued", ahead: data.ahead, share: 0 });
      if (name === "progress") tell({ state: "running", share: data.share, steps: data });
      if (name === "done") return;
      if (name === "failed" || name === "poisoned") {
        if (id !== this.source) this.#forget(id);
        throw api.told(data.error);
      }
      if (name === "erased") {
        this.jobs.delete(id);
        throw new api.Problem(404, "no-job", say("error.erased"));
      }
    }
    throw new api.Problem(0, "no-answer", say("error.no-answer"));
  }

  /** The faces, shown while the rest is still cleaned. */
  async #sketch(id, signal) {
    if (this.isDone || this.sketched === id) return;
    this.sketched = id;
    try {
      const [before, after] = await Promise.all(["before", "sketch"].map((which) => bitmap(id, which, signal)));
      this.#tell({ sketch: layered(before, after, null, []) });
    } catch {
      // no face, or it is late: the result comes anyway
    }
  }

  async #take(id, settings, signal) {
    const report = await api.report(id, signal);
    const other = FRAME.some((name) => settings[name] !== this.ran?.[name]);
    if (other) this.pinned = null; // of another part of the photo
    if (this.isDone) this.own = other ? {} : carried(this.own, this.faces, report.faces);
    const old = [...this.jobs].filter((other) => other !== id);
    Object.assign(this, { report, ran: settings, job: id, source: id, pictures: null, sketch: null, made: null, pending: null, state: "done", share: 1 });
    this.session.save(); // before the old one is erased, or another tab's late word brings that back
    this.session.changed();
    for (const other of old) this.#forget(other);
    this.#fetchThumb();
  }

  /** The result that there is while another is made. */
  async #remember() {
    this.report = await api.report(this.job).catch(() => null);
    if (this.report) this.#fetchThumb();
  }

  #fetchThumb() {
    api.preview(this.job, "thumb").then((blob) => this.#setThumb(blob), () => {});
  }

  /** Come back after a reload. Returns whether the server still has it. */
  async reattach() {
    const following = this.pending ?? this.job; // neither where it was being sent again
    try {
      const { name, state } = await api.status(following ?? this.source);
      this.name = name;
      if (this.job && this.pending) await this.#remember();
      this.restore({ following, isOver: following !== null && !["queued", "running"].includes(state) });
    } catch (problem) {
      if (problem.status === 404) return false;
      throw problem;
    }
    return true;
  }

  /** Show the result that another tab has made of it, and has erased this one's for. */
  adopt({ job, ran, settings, own }) {
    if (this.isBusy || !job || job === this.job) return;
    Object.assign(this, { job, source: job, jobs: new Set([job]), report: null, pictures: null, own, settings: { ...settings, run: { ...ran } } });
    this.restore({ following: job, isOver: true });
  }

  /** Fetch what the viewer needs. */
  async load() {
    if (!this.isDone || this.pictures || this.loading === this.job) return;
    const id = (this.loading = this.job);
    try {
      const has = (which) => this.report.previews.includes(which);
      const names = has("with") ? ["before", "without", "with"] : ["before", "after"];
      const mask = has("mask") ? bitmap(id, "mask") : null;
      const [painted, before, base, withAll = null] = await Promise.all([mask, ...names.map((which) => bitmap(id, which))]);
      if (id !== this.job) return;
      this.pictures = { ...layered(before, base, withAll, this.#boxesIn([base.width, base.height])), mask: painted && tinted(painted) };
      withAll?.close();
      this.loading = null;
    } catch (problem) {
      this.problem = problem; // and `loading` stays: what fails is not asked for again at once
      if (problem.status === 0) this.session.lost();
    }
    this.session.changed();
  }

  /** The server is there again. */
  resume() {
    if (!this.isDone) this.restore({ following: this.pending });
    else this.#tell({ problem: null, loading: null, state: "done" });
  }

  /** Take what is shown now as what is compared with, or again the photo. */
  pin() {
    const { pictures, weights } = this;
    this.#tell({ pinned: this.pinned ? null : { pictures, weights } });
  }

  /** Let go of the pictures; they are fetched again when they are wanted. */
  unload() {
    if (this.pictures && this.pictures !== this.pinned?.pictures) {
      this.pictures.before.close();
      this.pictures.base.close();
    }
    this.pictures = null;
  }

  /** Strength, faces and file as the API takes them; null where the job has been run with just these. */
  #wanted() {
    const { strength, encode } = this.settings;
    const usable = this.faces.filter((face) => face.outcome === "restored");
    const weights = usable.map(({ number }) => this.weights[number - 1]);
    const told = usable.map(({ number }, n) => (weights[n] === strength ? number : `${number}:${weights[n]}`));
    const faces = weights.every((weight) => weight === strength) ? "all" : told.filter((text, n) => weights[n] > 0).join(",");
    const wanted = { ...encode, strength: faces ? strength : 0, faces: faces || "all" };
    return same(wanted, { strength: 1, faces: "all" }) ? null : wanted;
  }

  /** The id of a job whose result has all that is chosen. */
  async finished() {
    const wanted = this.#wanted();
    if (wanted === null) return this.job;
    const name = JSON.stringify(wanted);
    if (this.made?.name === name) return this.made.id;
    const { signal } = (this.current = new AbortController());
    this.#tell({ making: true });
    try {
      const id = await this.#send(this.ran, signal, wanted);
      await this.#follow(id, signal, () => {});
      if (this.made) this.#forget(this.made.id);
      this.made = { name, id };
      return id;
    } finally {
      this.#tell({ making: false });
    }
  }

  /** The same; null where the server has erased it, which `problem` tells then. */
  async kept() {
    try {
      const id = await this.finished();
      await api.status(id);
      return id;
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      this.#tell({ problem, state: "failed" });
      return null;
    }
  }

  /** The restored file: {blob, name}. */
  async restoredFile() {
    return api.result(await this.finished());
  }

  /** Stop, and erase what the server holds. Raises what the server says. */
  async erase() {
    this.current?.abort();
    const sent = await Promise.resolve(this.sending).catch(() => null);
    if (sent) this.jobs.add(sent.id);
    await Promise.all([...this.jobs].map((id) => api.erase(id)));
    if (this.thumb) URL.revokeObjectURL(this.thumb);
    this.unload();
  }

  #forget(id) {
    this.jobs.delete(id);
    api.erase(id).catch(() => this.jobs.add(id)); // tried again with the rest
  }

  /** Whether what is there of its file could be restored. */
  get isDamaged() {
    return this.problem?.code === "photo-damaged";
  }

  restoreDamaged() {
    this.settings.run.damaged = true;
    this.restore();
  }

  get isWorthAnotherTry() {
    return this.problem !== null && WORTH_ANOTHER_TRY.includes(this.problem.status) && (this.file !== null || this.source !== null);
  }
}

/** Strengths of single faces for the same faces as they were found anew: those whose middle is the nearest. */
function carried(own, before, after) {
  const gap = ([ax, ay, aw, ah], [bx, by, bw, bh]) => Math.hypot(ax - bx + (aw - bw) / 2, ay - by + (ah - bh) / 2);
  return Object.fromEntries(Object.entries(own).flatMap(([n, strength]) => {
    const gaps = after.map(({ box }) => gap(box, before[n].box));
    const nearest = gaps.indexOf(Math.min(...gaps));
    return gaps[nearest] < Math.min(...before[n].box.slice(2)) / 2 ? [[nearest, strength]] : [];
  }));
}

/** Whether an option is true of one photo alone. */
export const isOfOne = ([name, value]) => [...FRAME, "face", "mask"].includes(name) && !["auto", "print"].includes(value);

export const forOthers = ({ run, ...rest }) => ({ ...rest, run: Object.fromEntries(Object.entries(run).filter((option) => !isOfOne(option))) });

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const bitmap = async (id, which, signal) => createImageBitmap(await api.preview(id, which, signal));
