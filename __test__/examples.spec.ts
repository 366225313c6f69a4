// The programs of docs/recipes/, each run as its page shows.
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Child } from './child';
import { run } from './cli';
import { chronicle, present, scratchFolder } from './scratch';

const scratch = scratchFolder();
const recipe = (name: string) =>
  fileURLToPath(new URL(`../examples/recipes/${name}`, import.meta.url));
const start = (name: string, ...args: string[]) =>
  new Child(process.execPath, [recipe(name), ...args]);

async function killed(child: Child): Promise<void> {
  child.kill('SIGKILL');
  await child.ended;
}

async function stopped(child: Child): Promise<void> {
  child.kill('SIGTERM');
  const { code } = await child.ended;
  expect([code, child.stderr]).toEqual([0, '']);
}

const numbered = (type: string, n: number, payload: object) => ({
  type,
  timestamp: '2026-01-02T03:04:05.678Z',
  actor: { agent: 'test', id: '1' },
  n,
  ...payload,
});

describe('claude-code-hook.mjs', () => {
  const call = (id: string, tool: string, input: object) =>
    JSON.stringify({
      hook_event_name: 'PostToolUse',
      session_id: 'session-1',
      tool_use_id: id,
      tool_name: tool,
      tool_input: input,
      tool_response: { success: true },
    });
  const hook = (path: string, input: string) =>
    run(process.execPath, [recipe('claude-code-hook.mjs'), path], input);

  it('records each tool call once, and no contents of files', async () => {
    const path = scratch.path('claude.sage');
    const write = call('t1', 'Write', { file_path: 'a.env', content: 'TOKEN=secret' });
    const calls = [write, call('t2', 'Bash', { command: 'npm test' }), write];
    const outcomes = await Promise.all(calls.map((input) => hook(path, input)));
    expect(outcomes).toEqual(calls.map(() => ({ code: 0, stdout: '', stderr: '' })));
    const events = await chronicle.readChronicle<Record<string, unknown>>(path);
    const told = events.map(({ tool, filePath, command }) => [tool, filePath ?? command]);
    expect(told.sort()).toEqual([
      ['Bash', 'npm test'],
      ['Write', 'a.env'],
    ]);
    expect(readFileSync(path, 'utf8')).not.toContain('secret');
  });

  it('fails at an input that is no JSON, and writes nothing', async () => {
    const path = scratch.path('claude.sage');
    expect((await hook(path, '{"session_id"')).code).toBe(1);
    expect(existsSync(path)).toBe(false);
  });
});

describe('audit-log.mjs', () => {
  async function startServer(path: string) {
    const server = start('audit-server.mjs', path);
    const port = await server.line((line) => /^\d+$/.test(line));
    return { server, url: `http://127.0.0.1:${port}` };
  }

  it('has each request that was answered, although the server was killed', async () => {
    const path = scratch.path('audit.sage');
    const { server, url } = await startServer(path);
    const answered: string[] = [];
    const requests = Array.from({ length: 30 }, async (_, n) => {
      const response = await fetch(`${url}/${n}`, { method: 'POST', headers: { 'x-user': 'ann' } });
      expect(await response.text()).toBe('done\n');
      if (answered.push(`/${n}`) === 10) server.kill('SIGKILL');
    });
    await Promise.allSettled(requests);
    await server.ended;
    const received = await chronicle.queryChronicle(path, { type: 'REQUEST_RECEIVED' });
    expect(answered.length).toBeGreaterThanOrEqual(10);
    expect(received.map((event) => String(event['url']))).toEqual(expect.arrayContaining(answered));
    expect(received[0]).toMatchObject({ method: 'POST', user: 'ann' });
  });

  it('records the answers, and does nothing that it cannot record', async () => {
    const path = scratch.path('audit.sage');
    const { server, url } = await startServer(path);
    await fetch(url);
    await stopped(server);
    const [request, answer] = await chronicle.readChronicle<Record<string, unknown>>(path);
    expect(answer).toMatchObject({ statusCode: 200, requestId: request?.['requestId'] });

    mkdirSync(scratch.path('folder.sage'));
    const broken = await startServer(scratch.path('folder.sage'));
    const refused = await fetch(broken.url);
    expect([refused.status, await refused.text()]).toEqual([503, 'not recorded, not done\n']);
    await stopped(broken.server);
  });
});

describe('outbox.mjs', () => {
  it('sends every event in order, although receiver and sender fail', async () => {
    const path = scratch.path('orders.sage');
    const received: number[] = [];
    const keys = new Set<unknown>();
    let requests = 0;
    const receiver = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        requests += 1;
        response.statusCode = requests % 7 === 0 ? 500 : 204;
        if (response.statusCode === 204) {
          if (!keys.has(request.headers['idempotency-key'])) received.push(JSON.parse(body).n);
          keys.add(request.headers['idempotency-key']);
        }
        response.end();
      });
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
    const orders = Array.from({ length: 40 }, (_, n) => numbered('ORDER_PLACED', n, {}));
    await chronicle.appendEvents(path, orders);
    try {
      const sender = start('outbox.mjs', path, scratch.path('cursor'), url);
      await expect.poll(() => received.length, { timeout: 30_000 }).toBeGreaterThan(15);
      await killed(sender);
      const next = start('outbox.mjs', path, scratch.path('cursor'), url);
      await chronicle.append(path, numbered('ORDER_PLACED', 40, {}));
      await expect.poll(() => received.length, { timeout: 30_000 }).toBe(41);
      await expect.poll(() => existsSync(scratch.path('cursor')), { timeout: 30_000 }).toBe(true);
      await stopped(next);
      expect(received).toEqual(Array.from({ length: 41 }, (_, n) => n));
    } finally {
      receiver.closeAllConnections();
      receiver.close();
    }
  });
});

describe('leader.mjs', () => {
  it('has one leader a term, and another one after it was killed', async () => {
    const path = scratch.path('leader.sage');
    const crew = new Map(
      ['a', 'b', 'c'].map((name) => [name, start('leader.mjs', path, name, '400')]),
    );
    const leaderOf = async (term: number) => {
      const [lease] = await chronicle.queryChronicle(
        path,
        { type: 'LEASE_TAKEN' },
        { reverse: true, limit: 1 },
      );
      return lease && Number(lease['term']) >= term ? String(lease['leader']) : undefined;
    };
    for (const term of [1, 2]) {
      let leader: string | undefined;
      await expect
        .poll(async () => (leader = await leaderOf(term)), { timeout: 30_000 })
        .toBeDefined();
      const child = crew.get(String(leader));
      crew.delete(String(leader));
      if (child) await killed(child);
    }
    await expect.poll(() => leaderOf(3), { timeout: 30_000 }).toBeDefined();
    for (const child of crew.values()) await killed(child);

    const leases = await chronicle.readChronicle<Record<string, any>>(path);
    for (const [n, lease] of leases.entries()) {
      const before = leases[n - 1];
      if (!before) expect(lease['term']).toBe(1);
      else if (lease['term'] === before['term']) expect(lease['leader']).toBe(before['leader']);
      else {
        expect(lease['term']).toBe(before['term'] + 1);
        expect(Date.parse(lease['timestamp'])).toBeGreaterThanOrEqual(before['until']);
      }
    }
  });
});

describe('projection.mjs', () => {
  it('counts each event once, however often it is killed', async () => {
    const path = scratch.path('accounts.sage');
    const state = scratch.path('balances.json');
    const changes = Array.from({ length: 600 }, (_, n) =>
      numbered('BALANCE_CHANGED', n, { account: `a${n % 3}`, amount: n % 11 }),
    );
    const balances: Record<string, number> = {};
    for (const [n, part] of [changes.slice(0, 250), changes.slice(250, 500)].entries()) {
      await chronicle.appendEvents(path, part);
      const projection = start('projection.mjs', path, state);
      if (n === 1) await projection.line((line) => line === 'caught up');
      else await expect.poll(() => existsSync(state), { timeout: 30_000 }).toBe(true);
      await killed(projection);
    }
    const last = start('projection.mjs', path, state);
    await last.line((line) => line === 'caught up');
    await Promise.all(changes.slice(500).map((change) => chronicle.append(path, change)));
    for (const { account, amount } of changes as any[]) {
      balances[account] = (balances[account] ?? 0) + amount;
    }
    const saved = () => JSON.parse(readFileSync(state, 'utf8')).balances;
    await expect.poll(saved, { timeout: 30_000 }).toEqual(balances);
    await stopped(last);
    expect(saved()).toEqual(balances);
  });
});

describe('pino-destination.mjs', () => {
  it('makes each line a record', async () => {
    const path = scratch.path('app.sage');
    const { chronicleDestination, pinoOptions } = await import(recipe('pino-destination.mjs'));
    const destination = chronicleDestination(path);
    for (const msg of ['started', 'stopped']) {
      const { base, timestamp } = pinoOptions;
      const [, fields] = JSON.stringify(base).match(/^\{(.*)\}$/) ?? [];
      destination.write(`{"level":30${timestamp()},${fields},"msg":"${msg}"}\n`);
    }
    chronicle.flushSync();
    const logged = await chronicle.queryChronicle(path, { type: 'LOG', actor: { agent: 'app' } });
    expect(logged.map((event) => event['msg'])).toEqual(['started', 'stopped']);
    expect((await chronicle.verifyChronicle(path)).findings).toEqual([]);
  });
});

describe('the picture of the README', () => {
  const linux = process.platform === 'linux' && present('picture', 'script');

  it.skipIf(!linux)('is made from a run in which an agent is killed', async () => {
    const script = fileURLToPath(new URL('../scripts/docs/picture.mjs', import.meta.url));
    const args = [script, '--out', scratch.folder()];
    expect(await run(process.execPath, args, null)).toEqual({ code: 0, stdout: '', stderr: '' });
    const names = readdirSync(scratch.folder());
    expect(names).toEqual(['session-dark.svg', 'session-light.svg']);
    for (const name of names) {
      const text = readFileSync(scratch.path(name), 'utf8').replace(/<[^>]*>/g, '');
      expect(text).toContain('[1]  Killed');
      expect(text).toMatch(/coder: \d+ were there, \d+ are new/);
      expect(text).toMatch(/ok: 400 records/);
    }
  });
});
