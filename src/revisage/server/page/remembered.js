// What the browser remembers of the photos, for a reload and for its other tabs.

const PHOTOS = "revisage.photos";
let written = new Map(); // by this tab, by their keys

export function stored(storage, name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

/** Returns whether the browser had room for it. */
export function store(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export const remembered = () => stored(localStorage, PHOTOS) ?? [];

/** Write of a tab's photos those that have changed in it, and forget the ones that it `knows` no more. */
export function remember(photos, knows) {
  const texts = new Map(photos.map((one) => [one.key, JSON.stringify(one)]));
  const before = new Map(remembered().map((one) => [one.key, one]));
  const others = [...before.values()].filter(({ key }) => !knows.has(key));
  const own = photos.map((one) => (texts.get(one.key) === written.get(one.key) ? before.get(one.key) : one));
  if (store(localStorage, PHOTOS, [...others, ...own.filter(Boolean)])) written = texts;
}

/** Tell of what other tabs remember. */
export const onOthers = (act) => addEventListener("storage", ({ key }) => key === PHOTOS && act());

/** What was shared to the page by another program: the server has it already. */
export function shared() {
  const id = new URLSearchParams(location.search).get("job");
  return id ? [{ key: id, settings: {}, source: id, pending: id, jobs: [id] }] : [];
}
