// Writes a zip file. Its members are stored as they are: PNGs are compressed already.

const TABLE = Uint32Array.from({ length: 256 }, (_, number) => {
  let value = number;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

const UTF8 = 0x0800; // names are UTF-8
const DAY = 0x21; // 1980-01-01: equal contents make equal files

// `files` holds [name, text, Blob or bytes].
export async function zipped(files) {
  const [parts, directory] = [[], []];
  let offset = 0;
  for (const [name, content] of files) {
    const bytes = new Uint8Array(await new Blob([content]).arrayBuffer());
    const title = new TextEncoder().encode(name);
    const common = new DataView(new ArrayBuffer(26)); // what both headers of a member share
    common.setUint16(0, 20, true);
    common.setUint16(2, UTF8, true);
    common.setUint16(8, DAY, true);
    common.setUint32(10, checksum(bytes), true);
    common.setUint32(14, bytes.length, true);
    common.setUint32(18, bytes.length, true);
    common.setUint16(22, title.length, true);
    const local = [Uint8Array.of(0x50, 0x4b, 3, 4), common, title, bytes];
    const entry = new DataView(new ArrayBuffer(14));
    entry.setUint32(10, offset, true);
    directory.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), common, entry, title);
    parts.push(...local);
    offset += 4 + 26 + title.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(18));
  end.setUint16(4, files.length, true);
  end.setUint16(6, files.length, true);
  end.setUint32(8, size, true);
  end.setUint32(12, offset, true);
  return new Blob([...parts, ...directory, Uint8Array.of(0x50, 0x4b, 5, 6), end], { type: "application/zip" });
}
