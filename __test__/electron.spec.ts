// Electron refuses an addon's memory as the bytes of an ArrayBuffer. This addon returns copies:
// texts, numbers and truth values. Whole lines are a Buffer, which napi-rs makes from a copy if the
// addon's memory is refused.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The types that the functions of the addon are declared with, its own classes left out. */
function declaredTypes(): string[] {
  const text = readFileSync(path('../binding.d.ts'), 'utf8');
  const source = ts.createSourceFile('binding.d.ts', text, ts.ScriptTarget.ES2022, true);
  const names = new Set<string>();
  const classes = source.statements.filter(ts.isClassDeclaration).map(({ name }) => name?.text);
  const visit = (node: ts.Node): void => {
    if (ts.isTypeReferenceNode(node)) names.add(node.typeName.getText());
    else if (ts.isTypeNode(node) && node.getChildCount() === 0) names.add(node.getText());
    node.forEachChild(visit);
  };
  visit(source);
  return [...names].filter((name) => !classes.includes(name)).sort();
}

it('the functions of the addon are declared with plain values, but for whole lines', () => {
  const plain = ['Array', 'boolean', 'null', 'number', 'string', 'undefined', 'void'];
  expect(declaredTypes().filter((name) => !plain.includes(name))).toEqual(['Buffer', 'Uint8Array']);
  const text = readFileSync(path('../binding.d.ts'), 'utf8');
  expect(text.match(/\w+\(.*\): .*Buffer.*/g)).toEqual(['takeLines(): Buffer | null']);
});

it('no bytes come out of the addon, whatever is done with the package', async () => {
  const child = fork(path('crossing-process.cjs'), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const [given] = (await Promise.race([once(child, 'message'), ended])) as [[string, string][]];
  expect((await ended)[0]).toBe(0);
  const names = new Set(given.map(([name]) => name));
  const used = ['appendSync', 'computeIds', 'Port.drain', 'Reader.next', 'Session.append', 'stats'];
  expect(used.filter((name) => !names.has(name))).toEqual([]);
  const plain = ['array', 'boolean', 'null', 'number', 'string', 'undefined'];
  expect(given.filter(([, kind]) => !plain.includes(kind))).toEqual([]);
});
