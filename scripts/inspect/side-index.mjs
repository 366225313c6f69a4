// node scripts/inspect/side-index.mjs LOG [--entries] [--id ID]...
//
// Prints the side index of a log, as FORMAT.md lays it out, and each fault that a reader would
// find. The exit code is 1 if the index is missing, or has a fault. `--entries` prints every hash
// with its offset; `--id` prints where the record of an id or key may be. `--index PATH` names the
// index of a log whose name is too long for a suffix.
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

const BLOCK = 4096;
const HEADER = 160;
const ENTRIES = 255;
const VERSION = 2n;
/** The bytes of a header that its digest covers. */
const SIGNED = HEADER - 32;
/** The header's numbers, in their order. */
const FIELDS = 'version device inode end records blocks metaLength key0 key1 start salt'.split(' ');

const u64 = (value) => BigInt.asUintN(64, value);
const rotated = (value, by) => u64(value << by) | (value >> (64n - by));
const hex = (value) => value.toString(16).padStart(16, '0');
const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** SipHash-1-3 with a key of two numbers. */
function sipHash([k0, k1], bytes) {
  let [v0, v1] = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn];
  let [v2, v3] = [k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n];
  const round = () => {
    v0 = u64(v0 + v1);
    v1 = rotated(v1, 13n) ^ v0;
    v0 = rotated(v0, 32n);
    v2 = u64(v2 + v3);
    v3 = rotated(v3, 16n) ^ v2;
    v0 = u64(v0 + v3);
    v3 = rotated(v3, 21n) ^ v0;
    v2 = u64(v2 + v1);
    v1 = rotated(v1, 17n) ^ v2;
    v2 = rotated(v2, 32n);
  };
  const padded = Buffer.alloc((Math.floor(bytes.length / 8) + 1) * 8);
  bytes.copy(padded);
  padded[padded.length - 1] = bytes.length % 256;
  for (let at = 0; at < padded.length; at += 8) {
    const message = padded.readBigUInt64LE(at);
    v3 ^= message;
    round();
    v0 ^= message;
  }
  v2 ^= 0xffn;
  for (let n = 0; n < 3; n += 1) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

/** Reads up to `length` bytes; fewer at the end of the file. */
function read(file, at, length) {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, at));
}

/** Numbers and texts of meta, one after the other. */
class Fields {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  /** The next number; 0 behind the end, where version 0.1.0 has nothing. */
  number() {
    if (this.#at + 8 > this.#bytes.length) return 0n;
    const value = this.#bytes.readBigUInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  id() {
    const length = Number(this.number());
    const id = this.#bytes.toString('utf8', this.#at, this.#at + length);
    this.#at += length;
    return length === 0 ? null : id;
  }
}

/** The part at a place of the file, with its faults; a text where no part can be read. */
function partAt(file, at, size) {
  const header = read(file, at, HEADER);
  if (header.length < HEADER) return `${header.length} bytes: no header`;
  if (header.toString('latin1', 0, 8) !== 'SAGECHIX') return 'no header: not "SAGECHIX"';
  const part = { at, faults: [] };
  FIELDS.forEach((name, n) => (part[name] = header.readBigUInt64LE(8 * (n + 1))));
  if (part.version !== VERSION) return `version ${part.version}, not ${VERSION}`;
  const metaAt = BigInt(at + BLOCK) + BigInt(BLOCK) * part.blocks;
  const next = metaAt + part.metaLength;
  if (next > BigInt(size)) return `cut: it would end at byte ${next} of ${size}`;
  const meta = read(file, Number(metaAt), Number(part.metaLength));
  part.next = Number(next);
  if (!sha256(header.subarray(0, SIGNED), meta).equals(header.subarray(SIGNED))) {
    return 'the digest of header and meta is wrong';
  }
  const fields = new Fields(meta);
  part.tailId = fields.id();
  part.lastId = fields.id();
  part.sparse = Array.from({ length: Number(fields.number()) }, () => [
    fields.number(),
    fields.number(),
  ]);
  part.firsts = Array.from({ length: Number(part.blocks) }, () => fields.number());
  part.born = fields.number();
  part.tailDigest = header.subarray(SIGNED - 32, SIGNED);
  readBlocks(file, part);
  return part;
}

function readBlocks(file, part) {
  const { at, faults, firsts, key0, key1, salt, start, end } = part;
  part.entries = [];
  firsts.forEach((first, n) => {
    const bytes = read(file, at + BLOCK * (n + 1), BLOCK);
    const summed = bytes.subarray(0, ENTRIES * 16);
    if (sipHash([key0 ^ salt, key1 ^ BigInt(n)], summed) !== bytes.readBigUInt64LE(summed.length)) {
      faults.push(`block ${n}: the checksum is wrong`);
      return;
    }
    const entries = [];
    for (let entry = 0; entry < ENTRIES; entry += 1) {
      const hash = bytes.readBigUInt64LE(entry * 16);
      const place = bytes.readBigUInt64LE(entry * 16 + 8);
      if (place === 0n) break;
      entries.push({ hash, offset: place - 1n });
    }
    if (entries[0]?.hash !== first) faults.push(`block ${n}: its first hash is not that of meta`);
    part.entries.push(...entries);
  });
  const isSorted = part.entries.every(({ hash }, n) => n === 0 || part.entries[n - 1].hash <= hash);
  if (!isSorted) faults.push('the entries are not sorted by hash');
  const outside = part.entries.filter(({ offset }) => offset < start || offset >= end).length;
  if (outside > 0) faults.push(`${outside} entries are outside of the stretch covered`);
}

/** What a part says of a log that is another one by now. */
function faultsAgainst(part, before, log, stat) {
  const { device, inode, start, end, born } = part;
  const faults = [];
  if (device !== stat.dev || inode !== stat.ino) {
    faults.push(`it is of device ${device}, inode ${inode}; the log is ${stat.dev}, ${stat.ino}`);
  }
  if (start !== (before?.end ?? 0n)) faults.push('it does not begin where the part before it ends');
  if (before && (before.key0 !== part.key0 || before.key1 !== part.key1)) {
    faults.push('its key is not that of the part before it');
  }
  if (end > stat.size) faults.push(`it reaches to byte ${end}; the log has ${stat.size}`);
  const length = end < BigInt(BLOCK) ? Number(end) : BLOCK;
  const tail = read(log, Number(end) - length, length);
  if (!sha256(tail).equals(part.tailDigest)) {
    faults.push('the last bytes covered are not those of the log');
  }
  if (born > 0n && stat.birthtimeNs > 0n && born !== stat.birthtimeNs) {
    faults.push(`the log was born at ${stat.birthtimeNs}, not at ${born}`);
  }
  return faults;
}

function describe(part, name) {
  const { at, next, start, end, records, blocks, sparse, entries } = part;
  console.log(
    `${name}: bytes ${at} to ${next} of the index; bytes ${start} to ${end} of the log; ` +
      `${records} records before its end; ${entries.length} entries in ${blocks} blocks; ` +
      `${sparse.length} sparse entries`,
  );
  console.log(
    `  id of the last record: ${part.tailId ?? 'none'}; last id: ${part.lastId ?? 'none'}; ` +
      `salt ${hex(part.salt)}; log born at ${part.born}`,
  );
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    entries: { type: 'boolean' },
    index: { type: 'string' },
    id: { type: 'string', multiple: true, default: [] },
  },
});
if (positionals.length !== 1) {
  console.error('usage: node scripts/inspect/side-index.mjs LOG [--entries] [--id ID]...');
  process.exit(2);
}

const logPath = realpathSync(positionals[0]);
const indexPath = values.index ?? join(dirname(logPath), `.${basename(logPath)}.chronicle-index`);
let faults = 0;
const fault = (text) => {
  faults += 1;
  console.log(`FAULT: ${text}`);
};

if (!existsSync(indexPath)) {
  console.log(`${indexPath}: there is no side index`);
  process.exit(1);
}
const indexStat = statSync(indexPath);
const [log, index] = [openSync(logPath, 'r'), openSync(indexPath, 'r')];
const stat = fstatSync(log, { bigint: true });
console.log(`${indexPath}: ${indexStat.size} bytes; the log has ${stat.size}`);
if (![0n, stat.uid].includes(BigInt(indexStat.uid))) {
  fault(`its owner is ${indexStat.uid}; the owner of the log is ${stat.uid}`);
}

const parts = [];
for (let at = 0; at < indexStat.size;) {
  const name = parts.length === 0 ? 'table' : `run ${parts.length}`;
  const part = partAt(index, at, indexStat.size);
  if (typeof part === 'string') {
    fault(`${name} at byte ${at}: ${part}`);
    break;
  }
  describe(part, name);
  for (const text of [...part.faults, ...faultsAgainst(part, parts.at(-1), log, stat)]) {
    fault(`${name}: ${text}`);
  }
  if (values.entries) {
    for (const { hash, offset } of part.entries) console.log(`  ${hex(hash)} ${offset}`);
  }
  parts.push(part);
  at = part.next;
}
for (const id of values.id) {
  const [{ key0, key1 } = { key0: 0n, key1: 0n }] = parts;
  const hash = sipHash([key0, key1], Buffer.from(id));
  const found = parts.flatMap(({ entries }) => entries.filter((entry) => entry.hash === hash));
  const offsets = found.map(({ offset }) => offset).join(', ');
  console.log(`${id}: hash ${hex(hash)}; offsets: ${offsets || 'none'}`);
}
closeSync(log);
closeSync(index);
console.log(faults === 0 ? 'whole' : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
