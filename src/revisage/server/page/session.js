// All photos of the page, and what they share: the current one, progress, deletion with undo, downloads.

import * as api from "./api.js";
import { Brush } from "./brush.js";
import { follow, save } from "./files.js";
import { asOptions, openFrame } from "./frame.js";
import { Photo, Places, forOthers, isOfOne, same } from "./photo.js";
import { onOthers, remember, remembered, shared, store, stored } from "./remembered.js";
import { sharePicture } from "./share.js";
import { html, render } from "./vendor/preact-htm.js";
import { App } from "./views.js";
import { duration, say } from "./words.js";

const SENT_AT_ONCE = 2;
const FOLLOWED_AT_ONCE = 3; // a browser has six connections to a server
const KEPT_LOADED = 3; // photos whose pictures are held in memory
const UNDO_SECONDS = 8;
const SEEN_SECONDS = 20; // what can be undone once its result is seen
const SETTLING = 600; // milliseconds in which the second half of a double click deletes nothing
const VIEW = "revisage.view"; // where it is remembered for this tab what is seen of them

export class Session {
  photos = [];
  current = null;
  server = null;
  needsToken = false;
  trouble = "";
  toast = null;
  mode = "wipe"; // or "side"
  original = false;
  choosing = false;
  framing = null; // what is kept of the current photo, while that is being chosen
  brush = null; // with which damage of the current photo is painted over
  closed = 0; // when framing, brush or a photo were, in milliseconds
  repaired = false; // show what was
  marked = -1; // the face that is pointed at
  face = -1; // the one that was zoomed to last
  viewer = null;
  place = {}; // where the viewer is
  sending = new Places(SENT_AT_ONCE);
  following = new Places(FOLLOWED_AT_ONCE);
  #loaded = [];
  #known = new Set();
  #batch = null; // keys of the photos that are worked at together, and since when
  #attached = false;
  #early = []; // files that came before the server had answered

  /** Draw anew, and remember what a reload must not lose. */
  changed() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.#load();
      const { share, left } = this.progress;
      document.title = share === null ? say("title") : [`${Math.floor(100 * share)} %`, left && say("left", { time: duration(left) }), "Revisage"].filter(Boolean).join(" · ");
      render(html`<${App} session=${this} />`, document.getElementById("app"));
      if (this.focus) document.querySelector(this.focus)?.focus();
      this.focus = null;
      this.save();
    });
  }

  /** Show other things: any of the fields. */
  show(fields) {
    Object.assign(this, fields);
    this.changed();
  }

  async start() {
    try {
      this.server = await api.aboutServer();
      Object.assign(this, { needsToken: false, trouble: "" });
      await this.#reattach();
      if (this.#early.length) this.add(this.#early.splice(0));
    } catch (problem) {
      this.needsToken = problem.status === 401;
      if (!this.needsToken || api.hasToken()) this.trouble = this.needsToken ? say("token.wrong") : problem.message;
      if (problem.status === 0) this.lost();
    }
    this.changed();
  }

  /** The server does not answer: go on by itself when it does. */
  lost() {
    this.returning ??= api.back().then(() => {
      this.returning = null;
      if (!this.#attached) this.start();
      else for (const photo of this.photos) if (photo.problem?.status === 0) photo.resume();
    });
  }

  add(files) {
    if (this.server === null) return void this.#early.push(...files);
    const settings = this.current && forOthers(this.current.settings);
    const added = [...files].map((file) => new Photo(this, file, settings));
    this.photos.push(...added);
    for (const photo of added) {
      this.#known.add(photo.key);
      if (photo.file.size > this.server.max_bytes) {
        const size = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
        const text = say("error.size", { size: size(photo.file.size), most: size(this.server.max_bytes) });
        Object.assign(photo, { state: "failed", problem: new api.Problem(413, "too-long", text) });
      } else photo.restore();
    }
    this.choose(this.current ?? added.find((photo) => photo.problem === null) ?? added[0] ?? null, true);
    added.reduce((before, photo) => before.then(() => photo.showThumb()), Promise.resolve()); // one after the other: each is decoded whole
  }

  async #reattach() {
    const { current, mode = "wipe", place = {}, scroll, batch, removed } = stored(sessionStorage, VIEW) ?? {};
    const given = shared();
    const saved = [...remembered(), ...given].filter(({ key }) => !this.#known.has(key));
    const isGone = ({ key, until }) => until && key !== removed?.key; // deleted in another tab
    const photos = saved.filter((one) => !isGone(one)).map((one) => new Photo(this, null, null, one));
    const there = await Promise.all(photos.map((photo) => photo.reattach()));
    for (const { key } of photos) this.#known.add(key);
    const deleted = photos.find((photo, n) => there[n] && photo.until);
    this.photos.unshift(...photos.filter((photo, n) => there[n] && photo !== deleted));
    this.#batch = batch && { ...batch, keys: new Set(batch.keys) };
    this.#attached = true;
    this.show({ mode, place });
    this.choose(this.current ?? this.photos.find(({ key }) => key === (given[0]?.key ?? current)) ?? this.photos[0] ?? null, true);
    this.scroll = scroll;
    if (deleted) this.#offerUndo(deleted, removed.at);
    onOthers(() => remembered().forEach((one) => this.photos.find(({ key }) => key === one.key)?.adopt(one)));
    for (const one of saved.filter((one) => isGone(one) && one.until < Date.now())) { // which has been closed since
      this.#known.add(one.key);
      new Photo(this, null, null, one).erase().catch(() => {});
    }
    history.replaceState(null, "", location.pathname);
  }

  save() {
    const { removed, current, mode, place } = this;
    const scroll = this.scroll ?? document.querySelector(".panel")?.scrollTop;
    const own = [...this.photos, removed?.photo].filter((photo) => photo?.source).map((photo) => photo.toSave);
    remember(own, this.#known);
    if (!this.#attached) return;
    const batch = this.#batch && { ...this.#batch, keys: [...this.#batch.keys] };
    const view = { current: current?.key, mode, place, scroll, batch, removed: removed && { key: removed.photo.key, at: removed.at } };
    store(sessionStorage, VIEW, view);
  }

  /** The pictures of the current photo; those of the ones before it are let go in time. */
  #load() {
    const photo = this.current;
    if (!photo?.isDone) return;
    photo.load();
    this.#loaded = [photo, ...this.#loaded.filter((other) => other !== photo)];
    for (const other of this.#loaded.splice(KEPT_LOADED)) other.unload();
  }

  choose(photo, byItself = false) {
    if (!byItself) this.wanted = photo;
    if (this.brush && photo !== this.current) this.endBrush(true); // what was painted is not lost
    const anew = this.current === photo ? {} : { choosing: false, framing: null, marked: -1, face: -1, scroll: null };
    this.show({ current: photo, ...anew });
  }

  /** What came out well is seen first, not what failed. */
  failed(photo) {
    const other = this.photos.find(({ state }) => state !== "failed");
    if (other && photo === this.current && photo !== this.wanted) this.choose(other, true);
  }

  step(by) {
    const next = this.photos[this.photos.indexOf(this.current) + by];
    if (next) this.choose(next);
  }

  /** The box of the face of the current photo that was zoomed to last, or of its largest. */
  get faceBox() {
    const boxes = this.current?.boxes ?? [];
    const area = ([, , w, h]) => w * h;
    return boxes[this.face] ?? boxes.filter(Boolean).sort((a, b) => area(b) - area(a))[0];
  }

  /** Zoom to a face of the current photo. */
  lookAt(n) {
    this.show({ face: n });
    this.viewer?.zoomToBox(this.current.boxes[n]);
  }

  nextFace() {
    const boxes = this.current?.boxes ?? [];
    const next = boxes.findIndex((box, n) => box && n > this.face);
    const n = next < 0 ? boxes.findIndex(Boolean) : next;
    if (n >= 0) this.lookAt(n);
  }

  /** Change settings of the current photo, or of all; `anew` where the models must run again. */
  set(change, anew, photos = [this.current]) {
    for (const photo of photos) {
      change(photo.settings);
      if (!anew || photo.isUnsent || (photo.hasFailed && photo !== this.current)) continue; // that is tried again when it is asked for
      if (!same(photo.settings.run, photo.ran)) photo.restore();
      else if (photo.isBusy) photo.restore({ following: photo.job, isOver: true }); // as it is already
    }
    this.changed();
  }

  /** Set an option; what is as the server has it anyway is not told. */
  put(options, name, value) {
    if (value === this.server.options[name]?.default) delete options[name];
    else options[name] = value;
  }

  /** The settings of the current photo for all of them. */
  setAll() {
    const settings = forOthers(this.current.settings);
    const others = this.photos.filter((photo) => photo !== this.current);
    const before = new Map(others.map((photo) => [photo.settings, structuredClone(photo.settings)]));
    this.set((one) => {
      const own = Object.fromEntries(Object.entries(one.run).filter(isOfOne));
      Object.assign(one, structuredClone({ ...settings, run: { ...settings.run, ...own } }));
    }, true, others);
    this.say(say("for-all.done", { n: others.length }), { text: say("undo"), act: () => {
      this.show({ toast: null });
      this.set((one) => Object.assign(one, before.get(one)), true, others.filter((photo) => this.photos.includes(photo)));
    } }, UNDO_SECONDS);
  }

  /** Turn, straighten and crop the current photo. */
  async openFrame() {
    const photo = this.current;
    if (!photo?.pictures) return;
    await this.#attempt(async () => {
      const framing = await openFrame(photo);
      if (photo === this.current) this.show({ framing, focus: ".frame-tools input" });
    });
  }

  /** Restore it so, or leave it as it was. */
  endFrame(apply) {
    const { framing } = this;
    this.show({ framing: null, closed: Date.now(), focus: ".look" });
    const wanted = framing && Object.entries(asOptions(framing));
    if (!apply || !wanted?.some(([name, value]) => value !== (this.current.settings.run[name] ?? this.server.options[name].default))) return;
    this.place = {}; // the picture will be another one
    if (this.current.settings.run.mask) this.say(say("frame.unpainted"));
    this.set(({ run }) => {
      delete run.face; // its boxes would be elsewhere
      delete run.mask;
      for (const [name, value] of wanted) this.put(run, name, value);
    }, true);
  }

  /** Paint over damage of the current photo, beginning with what was repaired. */
  openBrush() {
    const photo = this.current;
    if (!photo?.pictures || photo.isBusy) return;
    const turned = photo.ran.turn === "auto" ? photo.report.turned : 0; // the server takes the mask before it turns
    this.show({ brush: new Brush(photo.pictures, turned), choosing: false, original: false, focus: ".stage canvas" });
  }

  /** Repair what is painted, or leave all as it was. */
  async endBrush(apply) {
    const { brush, current } = this;
    this.show({ brush: null, closed: Date.now(), focus: ".look" });
    if (!apply || !brush) return;
    const mask = await brush.file();
    this.set(({ run }) => {
      delete run.repair; // it would be told by the mask
      delete run.mask;
      if (mask) run.mask = mask;
    }, true, [current]);
  }

  /** Look for a face in a box of the current photo's pictures, where the finder has missed it. */
  addFace(box) {
    const photo = this.current;
    const scale = photo.report.size_in[0] / photo.pictures.size[0];
    const text = box.map((side) => Math.round(side * scale)).join(",");
    const { face: before = [] } = photo.settings.run;
    const put = (boxes) => this.set(({ run }) => {
      if (boxes.length) run.face = boxes;
      else delete run.face;
    }, true, [photo]);
    put([...before, text]);
    this.say(say("face.added"), { text: say("undo"), act: () => { this.show({ toast: null }); put(before); } }, SEEN_SECONDS);
  }

  /** How strongly a face of the current photo is restored: 0 leaves it, null: as strongly as all. */
  setFace(n, strength) {
    if (strength === null) delete this.current.own[n];
    else this.current.own[n] = strength;
    this.changed();
  }

  /** Leave a face of the current photo as it was, or restore it after all. */
  toggleFace(n) {
    this.setFace(n, this.current.own[n] === 0 ? null : 0);
  }

  /** How far the photos that were added together are: {share, left in seconds, done, total}; null for none. */
  get progress() {
    const busy = this.photos.filter((photo) => photo.isBusy);
    this.#batch = busy.length ? this.#batch ?? { since: Date.now(), keys: new Set() } : null;
    if (!this.#batch) return { share: null };
    for (const { key } of busy) this.#batch.keys.add(key);
    const all = this.photos.filter(({ key }) => this.#batch.keys.has(key));
    const share = all.reduce((sum, photo) => sum + (photo.isBusy ? photo.share : 1), 0) / all.length;
    const passed = (Date.now() - this.#batch.since) / 1000;
    const left = share > 0.03 && passed > 3 ? (passed * (1 - share)) / share : null;
    return { share, left, done: all.length - busy.length, total: all.length };
  }

  /** Out of sight at once, erased when it cannot be undone any more. */
  remove(photo) {
    const at = this.photos.indexOf(photo);
    if (at < 0 || Date.now() - this.closed < SETTLING) return; // "Delete" may lie where "Repair", "Apply" or another one just was
    this.closed = Date.now();
    this.#eraseRemoved();
    this.photos.splice(at, 1);
    if (this.current === photo) this.choose(this.photos[Math.min(at, this.photos.length - 1)] ?? null);
    this.focus = this.photos.length ? ".look" : "#files"; // the button that was pressed is gone
    this.#offerUndo(photo, at);
  }

  #offerUndo(photo, at) {
    photo.until = Date.now() + 1000 * UNDO_SECONDS;
    this.removed = { photo, at };
    this.say(say("deleted", { name: photo.name }), { text: say("undo"), act: () => this.#undo() }, UNDO_SECONDS);
    this.removing = setTimeout(() => this.#eraseRemoved(), 1000 * UNDO_SECONDS);
  }

  #undo() {
    clearTimeout(this.removing);
    const { photo, at } = this.removed;
    Object.assign(this, { removed: null, toast: null });
    this.#putBack(photo, at, true);
  }

  #putBack(photo, at, shown) {
    photo.until = null;
    this.photos.splice(at, 0, photo);
    if (shown) this.choose(photo);
  }

  async #eraseRemoved() {
    clearTimeout(this.removing);
    const { photo, at } = this.removed ?? {};
    this.removed = null;
    if (!photo) return;
    try {
      await photo.erase();
    } catch (problem) {
      this.#putBack(photo, at, !this.current);
      if (!this.removed) this.say(`${say("deleted.not")} ${problem.message}`); // the next one can still be undone
    }
    this.changed();
  }

  /** A line for some seconds, with something to do about it. */
  say(text, action = null, seconds = 5) {
    const toast = (this.toast = { text, action });
    clearTimeout(this.toasted);
    this.toasted = setTimeout(() => {
      if (this.toast === toast) this.show({ toast: null });
    }, 1000 * seconds);
    this.changed();
  }

  async download(photo = this.current) {
    if (!photo?.isDone || photo.making) return;
    await this.#attempt(async () => {
      save(await photo.restoredFile());
      this.say(say("saved"));
    });
  }

  /** Before and after as one picture, to other programs or to the downloads. */
  async share() {
    await this.#attempt(async () => {
      if (await sharePicture(this.current)) this.say(say("saved"));
    });
  }

  async downloadAll() {
    this.show({ packing: true });
    await this.#attempt(async () => {
      const done = this.photos.filter((one) => one.isDone);
      const kept = [];
      for (const photo of done) kept.push(await photo.kept());
      const [ids, gone] = [kept.filter(Boolean), done.filter((_, n) => !kept[n])];
      if (ids.length && api.hasToken()) save(await api.fetchArchive(ids));
      else if (ids.length) follow(api.archive(ids), ""); // straight to the disk, however large
      const missing = gone.length && `${gone.map(({ name }) => name).join(", ")}: ${gone[0].problem.message}`;
      this.say([ids.length && say("saved"), missing].filter(Boolean).join(" "), null, gone.length ? SEEN_SECONDS : 5);
    });
    this.show({ packing: false });
  }

  async #attempt(work) {
    try {
      await work();
    } catch (problem) {
      if (problem.name !== "AbortError") this.say(problem.message);
    }
  }
}
