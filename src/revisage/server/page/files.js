// Files on their way in and out.

const PHOTOS = /\.(avif|bmp|gif|heic|heif|jfif|jpe?g|jxl|jp2|j2k|png|tiff?|webp|dng|cr[23]|nef|arw|raf|orf|rw2)$/i;

/** Let the browser download an address. */
export function follow(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

/** Hand a file to the browser's downloads. */
export function save({ blob, name }) {
  const address = URL.createObjectURL(blob);
  follow(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** The photos of what was dropped, those of folders included. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  const plain = [...transfer.files];
  const found = await Promise.all(entries.map((entry, n) => (entry?.isDirectory ? within(entry) : [plain[n]])));
  return found.flat().filter(Boolean);
}

async function within(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    entries.push(...some); // a hundred at a time
  }
  entries.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const found = await Promise.all(entries.map((entry) => (entry.isDirectory ? within(entry) : new Promise((resolve, reject) => entry.file(resolve, reject)))));
  return photosOf(found.flat());
}

/** Of a folder only what is a photo by its name. */
export const photosOf = (files) => [...files].filter((file) => PHOTOS.test(file.name) && !file.name.startsWith("."));
