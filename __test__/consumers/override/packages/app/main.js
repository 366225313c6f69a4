import * as chronicle from '@sage/chronicle';
import { useChronicle } from '../../use.mjs';

await useChronicle(chronicle);
