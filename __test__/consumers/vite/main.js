import * as chronicle from '@sage/chronicle';
import { append } from '@sage/chronicle';
import { useChronicle } from './use.mjs';

useChronicle({ ...chronicle, append });
