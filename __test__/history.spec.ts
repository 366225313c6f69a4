import { describe, expect, it } from 'vitest';
import { checkHistory, type Call } from './history';

function line(mark: string): string {
  return `${JSON.stringify({ type: 'X', mark })}\n`;
}

function file(...marks: string[]): Buffer {
  return Buffer.from(marks.map(line).join(''));
}

function acked(mark: string, start: number, end: number, extra: Partial<Call> = {}): Call {
  const client = mark.split(':')[0] ?? mark;
  return { client, mark, start: BigInt(start), end: BigInt(end), outcome: 'acked', ...extra };
}

const width = line('a:1').length;

describe('the history checker', () => {
  it('accepts overlapping calls in either order', () => {
    const calls = [acked('a:1', 0, 10), acked('b:1', 5, 8)];
    expect(checkHistory(calls, file('a:1', 'b:1'))).toEqual([]);
    expect(checkHistory(calls, file('b:1', 'a:1'))).toEqual([]);
  });

  it('accepts an indeterminate event once or not at all', () => {
    const calls: Call[] = [{ client: 'a', mark: 'a:1', start: 0n, outcome: 'unknown' }];
    expect(checkHistory(calls, file())).toEqual([]);
    expect(checkHistory(calls, file('a:1'))).toEqual([]);
  });

  it('accepts receipts that name the true place', () => {
    const receipt = { offset: width, length: width - 1, seq: 2 };
    expect(
      checkHistory([acked('a:1', 0, 1), acked('b:1', 2, 3, { receipt })], file('a:1', 'b:1')),
    ).toEqual([]);
  });

  it.each<[string, Call[], Buffer, RegExp]>([
    ['a lost acknowledgement', [acked('a:1', 0, 1)], file(), /a:1 was acknowledged and is not/],
    ['an event written twice', [acked('a:1', 0, 1)], file('a:1', 'a:1'), /more than once/],
    ['an event from nowhere', [], file('a:1'), /nobody appended it/],
    [
      'a refused event that is there',
      [{ client: 'a', mark: 'a:1', start: 0n, end: 1n, outcome: 'refused' }],
      file('a:1'),
      /was refused and is in the file/,
    ],
    [
      'a later call in front of an earlier one',
      [acked('a:1', 0, 1), acked('b:1', 2, 3)],
      file('b:1', 'a:1'),
      /a:1 was acknowledged before b:1 began/,
    ],
    [
      'a client whose own calls are reversed',
      [acked('a:1', 0, 10), acked('a:2', 1, 9)],
      file('a:2', 'a:1'),
      /the file has them reversed/,
    ],
    [
      'a receipt with a wrong offset',
      [acked('a:1', 0, 1, { receipt: { offset: 7, length: width - 1 } })],
      file('a:1'),
      /offset 0 but its receipt says 7/,
    ],
    [
      'a receipt with a wrong number',
      [acked('a:1', 0, 1, { receipt: { offset: 0, length: width - 1, seq: 2 } })],
      file('a:1'),
      /seq 1 but its receipt says 2/,
    ],
    ['a fused line', [], Buffer.from('{"mark":"a"}{"mark":"b"}\n'), /1 bad lines/],
    ['a line of another kind', [], Buffer.from('[1]\n'), /1 bad lines/],
  ])('reports %s', (_name, calls, bytes, problem) => {
    expect(checkHistory(calls, bytes).join('\n')).toMatch(problem);
  });

  it('reports a read that is no prefix, and one that lacks what was acknowledged before it', () => {
    const calls = [acked('a:1', 0, 1), acked('b:1', 2, 3)];
    const bytes = file('a:1', 'b:1');
    expect(checkHistory(calls, bytes, { reads: [{ start: 2n, marks: ['a:1'] }] })).toEqual([]);
    expect(checkHistory(calls, bytes, { reads: [{ start: 2n, marks: ['b:1'] }] })[0]).toMatch(
      /a read saw b:1 where the file has a:1/,
    );
    expect(checkHistory(calls, bytes, { reads: [{ start: 4n, marks: ['a:1'] }] })[0]).toMatch(
      /began after b:1 was acknowledged/,
    );
  });

  it('counts bad lines against the allowance and an unterminated tail against nothing', () => {
    const bytes = Buffer.from(`{"mark"\n${line('a:1')}{"ma`);
    expect(checkHistory([acked('a:1', 0, 1)], bytes, { badLines: 1 })).toEqual([]);
    expect(checkHistory([acked('a:1', 0, 1)], bytes)).toHaveLength(1);
  });

  it('stays quick for a hundred thousand calls', () => {
    const calls = Array.from({ length: 100_000 }, (_, n) => acked(`a:${n}`, 2 * n, 2 * n + 1));
    expect(checkHistory(calls, file(...calls.map((call) => call.mark)))).toEqual([]);
  });
});
