import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bin, run, type Outcome } from './cli';
import { chronicle, note, present, scratchFolder } from './scratch';

const python = present('cli-terminal', 'python3');
const scratch = scratchFolder();
const program = fileURLToPath(new URL('python/terminal.py', import.meta.url));

/** Runs the command on a terminal of 100 columns, and types the keys once something was seen. */
function onTerminal(args: string[], { when = '', keys = '', env = {} } = {}): Promise<Outcome> {
  const variables = Object.entries({ TERM: 'xterm', ...env }).map(
    ([key, value]) => `${key}=${value}`,
  );
  const command = [
    'env',
    '-u',
    'NO_COLOR',
    '-u',
    'FORCE_COLOR',
    ...variables,
    process.execPath,
    bin,
    ...args,
  ];
  return run('python3', [program, when, keys, ...command], null);
}

const escape = String.fromCharCode(27);
const plain = (text: string) =>
  text.replaceAll(new RegExp(`${escape}\\[[0-9;]*[A-Za-z]`, 'g'), '').replaceAll('\r', '');

describe.skipIf(!python)('the command on a terminal', () => {
  it('shows an event as one short line in colours, harmless whatever it holds', async () => {
    const path = scratch.path('log.sage');
    const evil = note('m:1', { text: `${escape}[2J\u009b2J\u202e`, long: 'x'.repeat(200) });
    await chronicle.appendEvents(path, [evil, note('m:2', { status: 'done' })]);
    const { code, stdout } = await onTerminal(['read', path]);
    expect(code).toBe(0);
    expect(stdout).toContain(`${escape}[36mNOTE_TAKEN${escape}[0m`);
    const lines = plain(stdout).trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^2026-01-02T03:04:05.678Z {2}NOTE_TAKEN +test\/m +mark=m:1 text=/);
    expect(lines[1]).toMatch(/ mark=m:2 status=done$/);
    for (const line of lines) expect(line.length).toBeLessThan(100);
    expect(stdout).not.toContain(`${escape}[2J`);
    expect(stdout).not.toMatch(/[\u0080-\u009f\u202e]/);
  });

  it('shows no colours where NO_COLOR is set or the terminal is dumb', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('m:1'));
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const { stdout } = await onTerminal(['read', path], { env });
      expect(stdout).toContain('NOTE_TAKEN');
      expect(stdout).not.toContain(escape);
    }
  });

  it('prints JSON with --json', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('m:1'));
    const { stdout } = await onTerminal(['tail', path, '--json']);
    expect(JSON.parse(stdout)).toMatchObject(note('m:1'));
  });

  it('shows how far it is, and wipes that away', async () => {
    const path = scratch.path('log.sage');
    await chronicle.appendEvents(
      path,
      Array.from({ length: 20_000 }, (_, n) => note(`m:${n}`)),
    );
    for (const command of [['verify'], ['stats'], ['export', '-o', scratch.path('out')]]) {
      const { code, stdout } = await onTerminal([...command, path]);
      expect(code).toBe(0);
      expect(plain(stdout)).toMatch(/\[[#-]{30}\] +\d+%/);
      expect(stdout.lastIndexOf('%')).toBeLessThan(stdout.lastIndexOf(`\r${escape}[K`));
      expect((await onTerminal([...command, path, '--json'])).stdout).not.toContain('%');
    }
  });

  it('says what was appended', async () => {
    const path = scratch.path('log.sage');
    const { code, stdout } = await onTerminal(['append', path, JSON.stringify(note('m:1'))]);
    expect({ code, text: plain(stdout) }).toEqual({ code: 0, text: `1 event in ${path}\n` });
    const typed = `${JSON.stringify(note('m:1'))}\n${JSON.stringify(note('m:2'))}\n\u0004`;
    const more = await onTerminal(['append', path], { when: 'Ctrl-D', keys: typed });
    expect(more.code).toBe(0);
    expect(plain(more.stdout)).toContain(`2 events in ${path} (1 of them there already)\n`);
  });

  it('ends a follower with success at Ctrl-C', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('m:1'));
    const { code } = await onTerminal(['tail', '-f', path], { when: 'm:1', keys: '\u0003' });
    expect(code).toBe(0);
  });

  it('leaves Ctrl-C to the command that holds a lock', async () => {
    const path = scratch.path('log.sage');
    // It waits a little for a second signal, which there must not be.
    const script = `trap "seen=1; echo told" INT
      echo held
      until test "$seen"; do sleep 0.01; done
      sleep 0.5
      exit 5`;
    const { code, stdout } = await onTerminal(['lock', path, '--', 'sh', '-c', script], {
      when: 'held',
      keys: '\u0003',
    });
    expect(code).toBe(5);
    expect(plain(stdout).match(/told/g)).toHaveLength(1);
  });
});
