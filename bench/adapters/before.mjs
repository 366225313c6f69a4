// Another build of this package: the folder that `--against` named.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { adapterOf, variable } from './package.mjs';

export const title = '@sage/chronicle, the other build';

export const open = adapterOf(
  await import(pathToFileURL(join(process.env[variable], 'index.mjs'))),
);
