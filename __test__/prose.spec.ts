// The rule for prose: comments are at most 100 columns wide, sentences have at most 30 words, and
// none of the words that hide a subject. It is checked for some parts of the repository by
// `PROSE="src/read lib" npx vitest run __test__/prose.spec.ts`.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findings, hasProse } from './prose';

const root = fileURLToPath(new URL('..', import.meta.url));

const asked = process.env.PROSE?.split(/[ ,]+/).filter(Boolean);
const GENERATED = /^(binding\.d?\.?[jt]s|.*-lock\.(json|yaml))$/;
const ELSEWHERE =
  /^(node_modules|target|\.git|\.setup|\.sage|\.tmp.*|\.built|fixtures|seeds|corpus)$/;

function filesIn(path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path))
    .filter((name) => !ELSEWHERE.test(name) && !GENERATED.test(name))
    .flatMap((name) => filesIn(relative('.', join(path, name))));
}

const files = (asked ?? ['.'])
  .filter((part) => existsSync(join(root, part)))
  .flatMap(filesIn)
  .filter((file) => hasProse(file));

describe('the prose', () => {
  it('follows the rule in comments and pages', () => {
    expect(files.length).toBeGreaterThan(0);
    const found = files.flatMap((file) =>
      findings(file, readFileSync(join(root, file), 'utf8')).map(
        ({ line, message }) => `${file}:${line}: ${message}`,
      ),
    );
    expect(found.join('\n')).toBe('');
  });
});

describe('the check of prose', () => {
  const messages = (file: string, text: string) =>
    findings(file, text).map(({ line, message }) => `${line} ${message.split(':')[0]}`);

  it('looks into comments, not into code', () => {
    const js = 'const told = "who // anew"; // told\n/** Hears `who`\n * of it. */\nf(/anew/);\n';
    expect(messages('a.js', js)).toEqual(['1 "told"', '2 "Hears"']);
    const rs = 'let s = r#"// who"#; // anew\nlet c = \'"\'; /// told\nfn f<\'a>() {} // who\n';
    expect(messages('a.rs', rs)).toEqual(['1 "anew"', '2 "told"', '3 "who"']);
    expect(messages('a.sh', '#!/bin/who\n# told\necho who # x\n')).toEqual(['2 "told"']);
  });

  it('looks into the prose of a page, not into its code', () => {
    const page = 'It `tells`\nthe [caller](who).\n\n```sh\nwho\n```\n\n| who | b |\n';
    expect(messages('a.md', page)).toEqual(['8 "who"']);
  });

  it('counts columns of comments and words of sentences', () => {
    const wide = `// ${'word '.repeat(20)}`;
    expect(messages('a.js', wide)).toEqual(['1 103 columns']);
    const long = `${'word '.repeat(20)}\n${'word '.repeat(11)}end. Short.\n`;
    expect(messages('a.md', long)).toEqual(['1 32 words in a sentence']);
    expect(messages('a.md', long.replace('\n', '.\n'))).toEqual([]);
  });
});
