// What an editor shows: completions, and the text of the first error.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type * as TypeScript from 'typescript';

const ts = createRequire(import.meta.url)('typescript') as typeof TypeScript;
const folder = join(dirname(fileURLToPath(import.meta.url)), 'types');
const file = join(folder, 'editor.ts');
const base = join(folder, 'tsconfig.bundler.json');
const { options } = ts.parseJsonConfigFileContent(
  { ...ts.readConfigFile(base, (path) => readFileSync(path, 'utf8')).config, include: [] },
  ts.sys,
  folder,
);

const opening = `import * as chronicle from '@sage/chronicle';
const actor = { agent: 'a', id: '1' };
const timestamp = '2026-01-02T03:04:05.000Z';
const path: string = 'agent.sage';
`;
let text = '';
let version = 0;
const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getScriptFileNames: () => [file],
  getScriptVersion: (name) => (name === file ? String(version) : '0'),
  getScriptSnapshot: (name) => {
    const content = name === file ? text : ts.sys.readFile(name);
    return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
  },
  getCurrentDirectory: () => folder,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: (name) => name === file || ts.sys.fileExists(name),
  readFile: ts.sys.readFile,
  readDirectory: ts.sys.readDirectory,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories,
});

/** The service sees this program. The mark `▮` is the place of the cursor, which is returned. */
function write(program: string): number {
  text = opening + program;
  const at = text.indexOf('▮');
  text = text.replace('▮', '');
  version += 1;
  return at;
}

/** What an editor offers at the mark. */
function completions(program: string): string[] {
  const found = service.getCompletionsAtPosition(file, write(program), {});
  return (found?.entries ?? []).map(({ name }) => name).sort();
}

/** The errors of the program as a compiler prints them. */
function errors(program: string): string[] {
  write(program);
  return service
    .getSemanticDiagnostics(file)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** The type of the variable `found` of the program. */
function typeOfFound(program: string): string {
  write(program);
  const at = text.indexOf('found');
  expect(errors(program)).toEqual([]);
  const info = service.getQuickInfoAtPosition(file, at);
  return (info?.displayParts ?? [])
    .map((part) => part.text)
    .join('')
    .replace(/^const found: /, '');
}

const types =
  'BUILD DEPLOY ENVVAR_CHANGE FILE_ADDED FILE_MERGED FILE_REMOVED FILE_RENAMED FILE_SPLIT HALT_AND_REPORT PLAN_APPROVED PLAN_DENIED PLAN_DRAFTED PLAN_UNSAFE POSTMORTEM RECONCILIATION ROGUE_EDIT_DETECTED'.split(
    ' ',
  );
const statuses = ['failed', 'started', 'success'];
const appends: [string, (event: string) => string][] = [
  ['append', (event) => `chronicle.append(path, ${event});`],
  ['appendEvent', (event) => `chronicle.appendEvent(path, ${event});`],
  ['appendEvents', (event) => `chronicle.appendEvents(path, [${event}]);`],
  ['appendEventSync', (event) => `chronicle.appendEventSync(path, ${event});`],
  ['appendEventWithId', (event) => `chronicle.appendEventWithId(path, ${event});`],
  [
    'the lock',
    (event) => `declare const lock: chronicle.ChronicleLock; lock.append(path, ${event});`,
  ],
  ['the handle', (event) => `declare const log: chronicle.Chronicle; log.append(${event});`],
  [
    'the handle, several',
    (event) => `declare const log: chronicle.Chronicle; log.appendMany([${event}]);`,
  ],
  [
    'the handle with a clock',
    (event) => `declare const log: chronicle.TimedChronicle; log.append(${event});`,
  ],
];

describe.each(appends)('%s in an editor', (_name, call) => {
  it('completes the types of events', () => {
    expect(completions(call(`{ type: '▮' }`))).toEqual(types);
  });

  it('completes the fields of a known event', () => {
    const fields = completions(call(`{ type: 'BUILD', ▮ }`));
    expect(fields).toEqual(
      expect.arrayContaining(['actor', 'status', 'timestamp', 'tags', 'duration']),
    );
    expect(fields).toHaveLength(13);
  });

  it('completes the values of a field', () => {
    expect(completions(call(`{ type: 'BUILD', timestamp, actor, status: '▮' }`))).toEqual(statuses);
  });

  it('names the field of a wrong value in one error', () => {
    const event = `{ type: 'BUILD', eventId: 'e', timestamp, actor, status: 'succes' }`;
    expect(errors(call(event))).toEqual([
      `Type '"succes"' is not assignable to type '"started" | "success" | "failed"'. Did you mean '"success"'?`,
    ]);
  });

  it('names the field that is missing, in one error', () => {
    const found = errors(call(`{ type: 'BUILD', eventId: 'e', timestamp, actor }`));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`Property 'status' is missing in type`);
  });

  it('accepts unknown types and further fields', () => {
    expect(errors(call(`{ type: 'STEP', eventId: 'e', timestamp, actor, n: 1 }`))).toEqual([]);
    const known = `{ type: 'BUILD', eventId: 'e', timestamp, actor, status: 'success', n: 1 }`;
    expect(errors(call(known))).toEqual([]);
  });

  it('accepts undefined, read-only arrays and a Date', () => {
    const event = `{ type: 'BUILD', eventId: 'e', timestamp: new Date(), actor, status: 'success', planHash: undefined, tags: ['a'] as const }`;
    expect(errors(call(event))).toEqual([]);
  });
});

describe('appends in a program', () => {
  it('take interfaces, unions, generic helpers, and batches of mixed and mapped events', () => {
    expect(
      errors(`
        interface Note { type: 'NOTE'; timestamp: string; actor: { agent: string; id: string }; text: string }
        export const note = (event: Note) => chronicle.append(path, event);
        export const any = (event: chronicle.ChronicleEvent) => chronicle.append(path, event);
        export const base = (event: chronicle.ChronicleEventBase) => chronicle.append(path, event);
        export const generic = <T extends string>(event: chronicle.EventToAppend<T>) => chronicle.append<T>(path, event);
        const ready = { type: 'BUILD', timestamp, actor, status: 'success', tags: ['n'] } as const;
        chronicle.append(path, ready);
        chronicle.appendEvents(path, [ready, { type: 'NOTE', timestamp, actor, text: 'x' }]);
        chronicle.appendEvents(path, [1, 2].map((n) => ({ type: 'STEP', timestamp, actor, n })));
      `),
    ).toEqual([]);
  });
});

const readers: [string, (where: string) => string, (event: string) => string][] = [
  [
    'queryChronicle',
    (where) => `const found = chronicle.queryChronicle(path, ${where});`,
    (event) => `Promise<${event}[]>`,
  ],
  [
    'streamChronicle',
    (where) => `const found = chronicle.streamChronicle(path, { where: ${where} });`,
    (event) => `chronicle.ChronicleIterator<${event}>`,
  ],
  [
    'followChronicle',
    (where) => `const found = chronicle.followChronicle(path, { where: ${where} });`,
    (event) => `chronicle.FollowIterator<${event}>`,
  ],
  [
    'query of a handle',
    (where) => `declare const log: chronicle.Chronicle; const found = log.query(${where});`,
    (event) => `Promise<${event}[]>`,
  ],
  [
    'stream of a handle',
    (where) =>
      `declare const log: chronicle.Chronicle; const found = log.stream({ where: ${where} });`,
    (event) => `chronicle.ChronicleIterator<${event}>`,
  ],
  [
    'follow of a handle',
    (where) =>
      `declare const log: chronicle.Chronicle; const found = log.follow({ where: ${where} });`,
    (event) => `chronicle.FollowIterator<${event}>`,
  ],
];

describe.each(readers)('%s in an editor', (_name, call, result) => {
  it('completes the types of a condition', () => {
    expect(completions(call(`{ type: '▮' }`))).toEqual(types);
    expect(completions(call(`{ type: ['BUILD', '▮'] }`))).toEqual(
      expect.arrayContaining(['DEPLOY']),
    );
  });

  it('narrows by one type and by several', () => {
    expect(typeOfFound(call(`{ type: 'BUILD' }`))).toBe(result('chronicle.BuildEvent'));
    expect(typeOfFound(call(`{ type: ['BUILD', 'DEPLOY'] }`))).toBe(
      result('chronicle.BuildEvent | chronicle.DeployEvent').replace(
        /Promise<(.*)\[\]>/,
        'Promise<($1)[]>',
      ),
    );
  });

  it('does not narrow by a type that is only known at run time', () => {
    expect(typeOfFound(`declare const type: string; ${call('{ type }')}`)).toBe(
      result('chronicle.ChronicleEvent'),
    );
  });
});

describe('countEvents in an editor', () => {
  it('completes the types of a condition', () => {
    expect(completions(`chronicle.countEvents(path, { type: '▮' });`)).toEqual(types);
  });
});
