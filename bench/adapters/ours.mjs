import * as chronicle from '../../index.mjs';
import { adapterOf } from './package.mjs';

export const title = '@sage/chronicle';

export const open = adapterOf(chronicle);
