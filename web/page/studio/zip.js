// A ZIP of stored files (APPNOTE.TXT 4.3): pictures are compressed already. Its parts stay Blobs, which the browser may
// keep on the disk; only one picture at a time is in memory, for its checksum.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i += 1) crc = TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// Without the 64-bit extension: sizes and places are 32 bits, the number of files 16.
const MOST_BYTES = 0xf0000000;
const MOST_FILES = 0xfffe;
const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;
const UTF8_NAMES = 0x0800;
const VERSION = 20;

export class Zip {
  #parts = [];
  #entries = [];
  #names = new Set();
  size = 0;

  hasRoomFor(blob) {
    return this.size + blob.size < MOST_BYTES && this.#entries.length < MOST_FILES;
  }

  async add(name, blob) {
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    const entry = { name: new TextEncoder().encode(this.#unused(name)), crc, bytes: blob.size, at: this.size, time: dosTime(new Date()) };
    this.#entries.push(entry);
    this.#push(record(LOCAL, entry), entry.name, blob);
  }

  finish() {
    const start = this.size;
    for (const entry of this.#entries) this.#push(record(CENTRAL, entry), entry.name);
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, END, true);
    end.setUint16(8, this.#entries.length, true);
    end.setUint16(10, this.#entries.length, true);
    end.setUint32(12, this.size - start, true);
    end.setUint32(16, start, true);
    this.#push(end);
    return new Blob(this.#parts, { type: "application/zip" });
  }

  #push(...parts) {
    this.#parts.push(...parts);
    for (const part of parts) this.size += part.size ?? part.byteLength;
  }

  /** Two pictures of one name stay two. */
  #unused(name) {
    const [, stem, ending] = /^(.*?)(\.[^.]*)?$/.exec(name);
    let free = name;
    for (let number = 2; this.#names.has(free.toLowerCase()); number += 1) free = `${stem} (${number})${ending ?? ""}`;
    this.#names.add(free.toLowerCase());
    return free;
  }
}

/** What stands before a file, or for it in the list at the end: the same fields, there with more between them. */
function record(kind, { name, crc, bytes, at, time }) {
  const central = kind === CENTRAL;
  const view = new DataView(new ArrayBuffer(central ? 46 : 30));
  view.setUint32(0, kind, true);
  let place = 4;
  const put = (bits, value) => {
    if (bits === 16) view.setUint16(place, value, true);
    else view.setUint32(place, value, true);
    place += bits / 8;
  };
  if (central) put(16, VERSION);
  put(16, VERSION);
  put(16, UTF8_NAMES);
  put(16, 0);
  put(32, time);
  put(32, crc);
  put(32, bytes);
  put(32, bytes);
  put(16, name.length);
  if (central) view.setUint32(42, at, true);
  return view;
}

const dosTime = (date) =>
  (((date.getFullYear() - 1980) << 25) | ((date.getMonth() + 1) << 21) | (date.getDate() << 16)
    | (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1)) >>> 0;
