import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import * as esm from '../index.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const cjs = createRequire(import.meta.url)('../index.js');

/** The names that a declaration file says can be used as values. */
function valueNames(file: string): string[] {
  const program = ts.createProgram([`${root}${file}`], {
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    types: [],
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(`${root}${file}`);
  const symbol = source && checker.getSymbolAtLocation(source);
  if (!symbol) throw new Error(`${file} is no module`);
  return checker
    .getExportsOfModule(symbol)
    .map((name) => (name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name))
    .filter((name) => name.flags & ts.SymbolFlags.Value)
    .map((name) => name.name)
    .sort();
}

describe('the exports', () => {
  it('are the same names in index.d.ts, index.d.mts, require and import', () => {
    const declared = valueNames('index.d.ts');
    expect(declared).toContain('append');
    expect(declared).not.toContain('Receipt');
    expect(valueNames('index.d.mts')).toEqual(declared);
    expect(Object.keys(cjs).sort()).toEqual(declared);
    expect(Object.keys(esm).sort()).toEqual(declared);
  });

  it('of the ECMAScript modules are what npm run exports writes', async () => {
    const { entries, moduleText } = await import('../scripts/test/exports.mjs' as string);
    for (const entry of entries) {
      expect(readFileSync(`${root}${entry}.mjs`, 'utf8')).toBe(await moduleText(entry));
    }
  });

  it('are the same values by require and by import', () => {
    for (const [name, value] of Object.entries(esm)) expect(cjs[name], name).toBe(value);
  });

  it('are functions that carry their own names, but for the codes and the guards', () => {
    for (const [name, value] of Object.entries(cjs)) {
      if (name === 'ErrorCodes') continue;
      expect(typeof value, name).toBe('function');
      if (!/^is\w+Event$/.test(name)) expect((value as () => void).name).toBe(name);
    }
  });

  it('are found under the name of the package, by both module systems', () => {
    const script = `
      const cjs = require('@sage/chronicle');
      import('@sage/chronicle').then((esm) => {
        const same = Object.keys(cjs).every((name) => cjs[name] === esm[name]);
        const { version } = require('@sage/chronicle/package.json');
        console.log(same, Object.keys(cjs).length, version);
      });`;
    const out = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
    expect(out.trim()).toBe(`true ${Object.keys(cjs).length} ${version()}`);
  });

  it('load without work: no listener, nothing that keeps the process, no output', () => {
    const script = `
      const listeners = () => process.eventNames().map((name) => [String(name), process.listenerCount(name)]);
      const before = JSON.stringify(listeners());
      require('./index.js');
      const same = before === JSON.stringify(listeners());
      console.log(same, JSON.stringify(process.getActiveResourcesInfo()));`;
    const out = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
    expect(out.trim()).toMatch(/^true \[("PipeWrap",?)*\]$/);
  });
});

function version(): string {
  return createRequire(import.meta.url)('../package.json').version;
}
