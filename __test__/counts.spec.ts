import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  allowedSkips,
  cargo,
  check,
  jsonReport,
  lines,
  skipLines,
  totalLine,
  verdict,
} from '../scripts/test/counts.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chronicle-counts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const outcome = (output: string, code: number | null = 0) => ({ code, output });
const none = { passed: 0, failed: 0, skipped: 0 };

describe('counts', () => {
  test('cargo: the result lines of all binaries are summed', () => {
    const output = [
      'running 3 tests',
      'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s',
      'test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s',
    ].join('\n');
    expect(cargo(outcome(output))).toEqual({ passed: 5, failed: 4, skipped: 1 });
  });

  test('a JSON report is read, with skipped and planned tests as skips', () => {
    const file = join(folder, 'report.json');
    const report = { numPassedTests: 7, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 };
    writeFileSync(file, JSON.stringify(report));
    expect(jsonReport(file)()).toEqual({ passed: 7, failed: 1, skipped: 3 });
  });

  test('a report that was never written counts as no tests', () => {
    expect(jsonReport(join(folder, 'missing.json'))()).toEqual(none);
  });

  test('our own lines are counted, and a total that says otherwise is a failure', () => {
    const told = 'ok - a\nok - b\nnot ok - c\nSKIPPED d: e not found\n';
    const sum = { passed: 2, failed: 1, skipped: 1 };
    expect(lines(outcome(`${told}${totalLine(sum)}\n`))).toEqual(sum);
    expect(lines(outcome(`${told}3 passed, 0 failed, 1 skipped\n`)).failed).toBe(2);
    expect(lines(outcome(told)).failed).toBe(2);
  });

  test('a check is one test', () => {
    expect(check(outcome('', 0))).toEqual({ passed: 1, failed: 0, skipped: 0 });
    expect(check(outcome('', 1))).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });

  test('skip lines are found in coloured output, each once and only at the start of a line', () => {
    const output =
      '\u001b[33mSKIPPED python: python3 not found\u001b[0m\nSKIPPED python: python3 not found\nnot SKIPPED x\n';
    expect(skipLines(output)).toEqual(['python: python3 not found']);
  });
});

describe('verdict', () => {
  test('a suite that ended well and counted tests has passed', () => {
    const counts = { passed: 3, failed: 0, skipped: 0 };
    expect(verdict('s', outcome(''), counts, null)).toEqual({ ...counts, skips: [], reasons: [] });
  });

  test('a suite that reports no tests has failed', () => {
    const result = verdict('s', outcome(''), none, null);
    expect(result.failed).toBe(1);
    expect(result.reasons).toEqual(['it reported no tests']);
  });

  test('a suite that ended badly has failed although no test did', () => {
    expect(verdict('s', outcome('', 101), { ...none, passed: 3 }, null)).toMatchObject({
      passed: 3,
      failed: 1,
    });
    expect(verdict('s', outcome('', null), none, null).failed).toBe(1);
  });

  test('failed tests are not counted twice when the runner ends badly', () => {
    expect(verdict('s', outcome('', 1), { ...none, failed: 2 }, null).failed).toBe(2);
  });

  test('a suite that ran into its time limit has failed', () => {
    const late = { code: null, signal: 'SIGKILL', timedOut: true, output: '' };
    expect(verdict('s', late, { ...none, passed: 9 }, null)).toMatchObject({
      passed: 9,
      failed: 1,
      reasons: ['ran into its time limit'],
    });
  });

  test('a skip fails only where a list of allowed ones leaves it out', () => {
    const output = 'SKIPPED strace: strace not found\n';
    const counts = { ...none, passed: 1, skipped: 4 };
    expect(verdict('s', outcome(output), counts, null)).toMatchObject({ failed: 0, skipped: 4 });
    const listed = new Set(['strace: strace not found']);
    expect(verdict('s', outcome(output), counts, listed).failed).toBe(0);
    expect(verdict('s', outcome(output), counts, new Set<string>()).failed).toBe(1);
  });

  test('skipped tests that give no reason are named', () => {
    const result = verdict('s', outcome(''), { ...none, passed: 1, skipped: 2 }, new Set());
    expect(result.skips).toEqual(['s: 2 without a reason']);
    expect(result.failed).toBe(1);
  });

  test('the list of allowed skips ignores comments and blank lines', () => {
    const file = join(folder, 'allowed');
    writeFileSync(file, '# why\n\npython: python3 not found # here too\n');
    expect(allowedSkips(file)).toEqual(new Set(['python: python3 not found']));
  });
});
