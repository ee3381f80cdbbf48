// Several files in one: a ZIP without compression (PKWARE APPNOTE 6.3.10, 4.3), as photos are compressed already.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Little-endian numbers: pairs of width in bytes and value. */
function packed(...fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [width]) => sum + width, 0));
  let at = 0;
  for (const [width, value] of fields) {
    for (let k = 0; k < width; k += 1) bytes[at + k] = Math.floor(value / 2 ** (8 * k)) & 0xff;
    at += width;
  }
  return bytes;
}

/** Names that occur once, the later of two equal ones numbered. */
function distinct(names) {
  const taken = new Set();
  return names.map((name) => {
    const dot = name.lastIndexOf(".");
    const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n += 1) free = `${stem}-${n}${extension}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

/** A Blob of `files`: [{name, blob}], 4 GiB at most. */
export async function zip(files) {
  const parts = [];
  const index = [];
  let offset = 0;
  const names = distinct(files.map((file) => file.name));
  for (const [n, { blob }] of files.entries()) {
    const name = new TextEncoder().encode(names[n]);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    // version 2.0, UTF-8 names, stored, 1980-01-01
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 33], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, name.length], [2, 0]];
    parts.push(packed([4, 0x04034b50], ...common), name, bytes);
    index.push(packed([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
    offset += 30 + name.length + bytes.length;
  }
  const length = index.reduce((sum, part) => sum + part.length, 0);
  const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}
