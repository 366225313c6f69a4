// node scripts/test/exports.mjs: writes index.mjs and testing.mjs, the ECMAScript modules that give
// the names of the CommonJS modules. A module's names must stand in its text, so both are
// generated.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { root } from './setup.mjs';

/** The ECMAScript modules at the root. */
export const entries = ['index', 'testing'];

/** The text of the module that re-exports `index.js` or `testing.js`. */
export function moduleText(entry) {
  const names = Object.keys(createRequire(import.meta.url)(join(root, `${entry}.js`)));
  const text = `// Written by \`npm run exports\`. One native instance: the names are those of ${entry}.js.
import ${entry} from './${entry}.js';

export const { ${names.sort().join(', ')} } = ${entry};
`;
  return format(text, { parser: 'babel', singleQuote: true, printWidth: 100 });
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const entry of entries) writeFileSync(join(root, `${entry}.mjs`), await moduleText(entry));
}
