// A line is a record exactly when it is valid UTF-8 and JSON.parse gives an object: decided here by
// JavaScript itself, for lines that are mutated at random.
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readChronicle } from '../index.mjs';
import type { BadLine } from '../index.mjs';
import { freshPath, Random } from './support.js';

const seeds = [
  '{}',
  '{"a":1}',
  '{"type":"X","timestamp":"t","actor":{"agent":"a","id":"b"},"n":[1,2,{"c":null}]}',
  '{"n":[0,-0,1.5,-1.25e10,1E-7,1e400,123456789012345678901234567890]}',
  '{"s":"\\u0041\\ud800\\ud83d\\ude00\\n\\"\\\\\\/\\b\\f\\r\\t"}',
  '{"ü":"é\u2028\u{1f600}","t":true,"f":false,"z":null}',
  ' \t{ "a" : [ ] , "b" : { } , "a" : [ [ [ ] ] ] } \r',
  '[1,2,3]',
  '"text"',
  '-12.5e+3',
  'null',
  '',
  ' \t\r',
];

const tokens = [
  ...['{', '}', '[', ']', ',', ':', '"', '""', '\\', '\\u', '\\ud800', '\\u00', '/', ' ', '\t'],
  ...[
    '\r',
    '\0',
    '\x01',
    '\x1f',
    '\x7f',
    '\ufeff',
    '0',
    '00',
    '-',
    '+',
    '.',
    'e',
    'E5',
    '1e',
    '.5',
  ],
  ...[
    'true',
    'false',
    'null',
    'nul',
    'NaN',
    'Infinity',
    'undefined',
    "'",
    '//',
    '/**/',
    '{}',
    '[]',
  ],
  ...['{"a":1}', '"a":1', ',"a":1', '\u2028', 'é', '\u{1f600}', '\u00a0', '\v', '\f', '0x1', '1_0'],
].map((token) => Buffer.from(token));

const NEWLINE = 0x0a;

function mutated(random: Random): Buffer {
  let line: Buffer = Buffer.from(random.pick(seeds));
  for (let n = random.below(4); n > 0; n -= 1) {
    const at = random.below(line.length + 1);
    const end = Math.min(line.length, at + random.below(4));
    const kind = random.below(6);
    if (kind < 3) {
      line = Buffer.concat([line.subarray(0, at), random.pick(tokens), line.subarray(at)]);
    } else if (kind === 3) {
      line = Buffer.concat([line.subarray(0, at), line.subarray(end)]);
    } else if (kind === 4) {
      line = Buffer.concat([line.subarray(0, at), line.subarray(at, end), line.subarray(at)]);
    } else {
      const byte = Buffer.of(random.below(256));
      line = Buffer.concat([line.subarray(0, at), byte, line.subarray(end)]);
    }
  }
  return Buffer.from(line.filter((byte) => byte !== NEWLINE));
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Verdict = { kind: 'record'; event: object } | { kind: 'blank' | 'malformed' | 'nul' | 'bom' };

/** What JavaScript says of a line. */
function verdictOf(line: Buffer): Verdict {
  let text: string | undefined;
  try {
    text = utf8.decode(line);
    const event: unknown = JSON.parse(text);
    if (typeof event === 'object' && event !== null && !Array.isArray(event)) {
      return { kind: 'record', event };
    }
  } catch {
    if (text !== undefined && /^[ \t\r]*$/.test(text)) return { kind: 'blank' };
  }
  if (line.includes(0)) return { kind: 'nul' };
  const isMarked = text?.startsWith('\ufeff') && verdictOf(line.subarray(3)).kind === 'record';
  return { kind: isMarked ? 'bom' : 'malformed' };
}

describe('a line', () => {
  it('is a record exactly when JSON.parse gives an object, over 120,000 of them', async () => {
    const random = new Random();
    let records = 0;
    let bad = 0;
    for (let file = 0; file < 6; file += 1) {
      const lines = Array.from({ length: 20_000 }, () => mutated(random));
      const path = freshPath();
      writeFileSync(path, Buffer.concat(lines.flatMap((line) => [line, Buffer.of(NEWLINE)])));

      const expected: { offset: number; length: number; event: string }[] = [];
      const expectedBad: BadLine[] = [];
      let offset = 0;
      for (const [index, line] of lines.entries()) {
        const { length } = line;
        const verdict = verdictOf(line);
        if (verdict.kind === 'record') {
          expected.push({ offset, length, event: JSON.stringify(verdict.event) });
        } else if (verdict.kind !== 'blank') {
          expectedBad.push({ kind: verdict.kind, line: index + 1, offset, length });
        }
        offset += length + 1;
      }

      const readBad: BadLine[] = [];
      const read = await readChronicle(path, {
        positions: true,
        onBadLine: (line) => readBad.push(line),
      });
      const got = read.map(({ event, ...place }) => ({ ...place, event: JSON.stringify(event) }));
      const wanted = expected.map((record, index) => ({ seq: index + 1, ...record }));
      compare(got, wanted, lines, random.seed);
      compare(readBad, expectedBad, lines, random.seed);
      records += expected.length;
      bad += expectedBad.length;
    }
    // Both verdicts are well represented, so neither can be given to all.
    expect(records).toBeGreaterThan(20_000);
    expect(bad).toBeGreaterThan(20_000);
  });

  it('nests up to 1,000 deep and is malformed beyond', async () => {
    const nested = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
    const objects = (depth: number) => `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`;
    const path = freshPath();
    const depths = [999, 1000, 1001, 100_000];
    const lines = depths.flatMap((depth) => [nested(depth), objects(depth)]);
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
    const bad: BadLine[] = [];
    const read = await readChronicle(path, {
      positions: true,
      onBadLine: (line) => bad.push(line),
    });
    expect(read.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(bad.map(({ kind, line }) => [kind, line])).toEqual([
      ['malformed', 5],
      ['malformed', 6],
      ['malformed', 7],
      ['malformed', 8],
    ]);
  });

  it('that is a proper prefix of an object is none, whatever its length', async () => {
    const whole = Buffer.from(seeds[4]!.replace('}', ',"ü":[{"a":-1.5e3}]}'));
    const path = freshPath();
    const prefixes = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
    writeFileSync(path, Buffer.concat(prefixes.flatMap((line) => [line, Buffer.of(NEWLINE)])));
    let bad = 0;
    expect(await readChronicle(path, { onBadLine: () => void (bad += 1) })).toEqual([]);
    expect(bad).toBe(whole.length - 1);
  });
});

/** Like toEqual, but it names the line at fault instead of printing thousands. */
function compare(got: object[], wanted: object[], lines: Buffer[], seed: number) {
  const at = wanted.findIndex((item, index) => !same(item, got[index]));
  if (at >= 0) {
    const { offset } = wanted[at] as { offset: number };
    let start = 0;
    const line = lines.find((candidate) => (start += candidate.length + 1) > offset)!;
    expect(got[at], `seed ${seed}, line ${JSON.stringify(line.toString())}`).toEqual(wanted[at]);
  }
  expect(got.slice(wanted.length), `seed ${seed}, too many`).toEqual([]);
}

function same(a: object, b: object | undefined): boolean {
  if (b === undefined) return false;
  return Object.entries(a).every(([name, value]) => (b as Record<string, unknown>)[name] === value);
}
