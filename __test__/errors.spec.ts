import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { append, appendEvents, appendLines, ChronicleError, ErrorCodes } from '../index.mjs';
import { isChronicleError, lockChronicles, openChronicle } from '../index.mjs';
import { binding, event, expectCode, freshPath, rejection } from './support.js';

describe('ErrorCodes', () => {
  it('is the frozen list of the codes, each under its own name', () => {
    expect(Object.isFrozen(ErrorCodes)).toBe(true);
    expect(Object.keys(ErrorCodes).sort()).toEqual([
      'ECLOSED',
      'ECONFLICT',
      'ECORRUPT',
      'EHALT',
      'EIO',
      'ELOCK_TIMEOUT',
      'EPERMISSION',
      'ETIMEOUT',
      'EUNSUPPORTED',
      'EVALIDATION',
    ]);
    for (const [name, code] of Object.entries(ErrorCodes)) expect(code).toBe(name);
  });
});

describe('ChronicleError', () => {
  it('is an Error with a code and only the fields that apply', () => {
    const error = new ChronicleError('EIO', 'disk full', { written: 'no', path: 'a.sage' });
    expect(error).toBeInstanceOf(Error);
    expect(error).toBeInstanceOf(ChronicleError);
    expect(error.name).toBe('ChronicleError');
    expect(String(error)).toBe('ChronicleError: disk full');
    expect(Object.keys(error).sort()).toEqual(['code', 'path', 'written']);
    expect('cause' in error).toBe(false);
  });

  it('takes null for no details', () => {
    const error = new ChronicleError('EIO', 'disk full', null as never);
    expect(Object.keys(error)).toEqual(['code']);
  });

  it('keeps its cause as every error does, not enumerable', () => {
    const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const error = new ChronicleError('EIO', 'disk full', { cause });
    expect(error.cause).toBe(cause);
    expect(Object.keys(error)).toEqual(['code']);
    expect(inspect(error)).toContain('ENOSPC');
  });

  it('has the function that called the package in its stack', async () => {
    async function theCaller() {
      await append('not-a-chronicle.txt', event());
    }
    const error = expectCode(await rejection(theCaller()), 'EVALIDATION');
    expect(error.stack).toContain('theCaller');
  });

  it('has the caller in its stack after a wait, too', async () => {
    const path = freshPath();
    await append(path, event());
    async function theCaller() {
      await append(path, event({ n: 1 }), { expectedTail: 'nobody' });
    }
    const error = expectCode(await rejection(theCaller()), 'ECONFLICT');
    expect(error.stack).toContain('theCaller');
    expect(error.path).toBe(path);
  });
});

describe('the stack of an append that nobody awaits', () => {
  /** The error of an append that its caller does not await. */
  const unawaited = (call: () => Promise<unknown>) => {
    let appended: Promise<unknown>;
    (function theCaller() {
      appended = call();
    })();
    return rejection(appended!);
  };
  const conflict = { expectedTail: 'nobody' };

  it('has the caller, and no frame of the package', async () => {
    const path = freshPath();
    const log = await openChronicle(path);
    const lock = await lockChronicles([freshPath('other.sage')]);
    const [locked] = lock.paths;
    for (const call of [
      () => append(path, event(), conflict),
      () => appendEvents(path, [event()], conflict),
      () => appendLines(path, JSON.stringify(event()), conflict),
      () => log.append(event(), conflict),
      () => log.appendMany([event()], conflict),
      () => lock.append(locked!, event(), conflict),
    ]) {
      const error = expectCode(await unawaited(call), 'ECONFLICT');
      const [first, ...frames] = error.stack!.split('\n');
      expect(first).toBe(`ChronicleError: ${error.message}`);
      expect(frames.filter((frame) => frame.includes('theCaller'))).toHaveLength(1);
      expect(frames.filter((frame) => /[\\/]lib[\\/]/.test(frame))).toEqual([]);
      expect(Object.keys(error)).not.toContain('stack');
    }
    await lock.release();
    await log.close();
  });

  it('has it again after hundreds of appends, whatever became of them', async () => {
    const path = freshPath();
    const signal = AbortSignal.abort('enough');
    const work = Array.from({ length: 200 }, (_, n) => [
      append(path, event({ n })),
      rejection(append(path, event({ n: -1 - n }), conflict)),
      rejection(append(path, event({ n: 500 }), { signal })),
    ]);
    await Promise.all(work.flat());
    expect((await unawaited(() => append(path, event(), conflict))).stack).toContain('theCaller');
  });

  it('is left alone where the program wants no stack, or makes its own', async () => {
    const path = freshPath();
    const { prepareStackTrace, stackTraceLimit } = Error;
    try {
      Error.stackTraceLimit = 0;
      const error = await unawaited(() => append(path, event(), conflict));
      expect(error.stack).toBe(`ChronicleError: ${error.message}`);
      expect(Error.stackTraceLimit).toBe(0);
      Error.stackTraceLimit = stackTraceLimit;
      Error.prepareStackTrace = (_error, frames) => frames;
      const other = await unawaited(() => append(path, event(), conflict));
      expect(other.stack).toBeInstanceOf(Array);
    } finally {
      Object.assign(Error, { prepareStackTrace, stackTraceLimit });
    }
  });
});

describe('a panic in the native part', () => {
  it('is an outcome like others, and the process lives on', async () => {
    const outcome = await new Promise<string>((resolve) => {
      const port = new binding.Port(() => resolve(port.drain()[2]));
      port.panic(1);
    });
    expect(JSON.parse(outcome).error).toMatchObject({ code: 'EIO' });
    expect(await append(freshPath(), event())).toMatchObject({ seq: 1 });
  });
});

describe('isChronicleError', () => {
  it('checks the shape, so that errors of another realm count', () => {
    expect(isChronicleError(new ChronicleError('EIO', 'm'))).toBe(true);
    const foreign = runInNewContext(
      `Object.assign(new Error('m'), { name: 'ChronicleError', code: 'EIO' })`,
    );
    expect(foreign).not.toBeInstanceOf(Error);
    expect(isChronicleError(foreign)).toBe(true);
    expect(isChronicleError(foreign, 'EIO')).toBe(true);
    expect(isChronicleError(foreign, 'ECLOSED')).toBe(false);
  });

  it('refuses everything else', () => {
    const others = [
      undefined,
      null,
      0,
      'EIO',
      Symbol('s'),
      () => {},
      {},
      new Error('m'),
      Object.assign(new Error('m'), { code: 'EIO' }),
      { name: 'ChronicleError', message: 'm' },
      { name: 'ChronicleError', message: 'm', code: 'ENOENT' },
      { name: 'ChronicleError', message: 'm', code: 'toString' },
      { name: 'ChronicleError', code: 'EIO' },
    ];
    for (const other of others) expect(isChronicleError(other), inspect(other)).toBe(false);
  });
});
