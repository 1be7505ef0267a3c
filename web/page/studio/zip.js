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
    const start = this.size, many = this.#entries.length;
    for (const entry of this.#entries) this.#push(record(CENTRAL, entry), entry.name);
    this.#push(fields([32, END], [32, 0], [16, many], [16, many], [32, this.size - start], [32, start], [16, 0]));
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

/** What stands before a file, or for it in the list at the end: the same, there with more around it. */
function record(kind, { name, crc, bytes, at, time }) {
  const central = kind === CENTRAL;
  return fields([32, kind], ...(central ? [[16, VERSION]] : []), [16, VERSION], [16, UTF8_NAMES], [16, 0], [32, time], [32, crc], [32, bytes],
    [32, bytes], [16, name.length], [16, 0], ...(central ? [[32, 0], [32, 0], [16, 0], [32, at]] : []));
}

/** Numbers of so many bits, little-endian. */
function fields(...numbers) {
  const view = new DataView(new ArrayBuffer(numbers.reduce((sum, [bits]) => sum + bits / 8, 0)));
  let place = 0;
  for (const [bits, value] of numbers) {
    if (bits === 16) view.setUint16(place, value, true);
    else view.setUint32(place, value, true);
    place += bits / 8;
  }
  return view;
}

const dosTime = (date) =>
  (((date.getFullYear() - 1980) << 25) | ((date.getMonth() + 1) << 21) | (date.getDate() << 16)
    | (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1)) >>> 0;
