import { createRequire } from 'node:module';
import * as chronicle from '@sage/chronicle';
import * as testing from '@sage/chronicle/testing';
import { useChronicle } from '../../use.mjs';

const required = createRequire(import.meta.url)('@sage/chronicle');
if (required.append !== chronicle.append) throw new Error('import and require differ');
if (typeof testing.makeChronicle !== 'function') throw new Error('the subpath testing is empty');
await useChronicle(chronicle);
