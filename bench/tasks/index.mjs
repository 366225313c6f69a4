// The tasks of a contestant: (open, args, state) => figures, in the process of the contestant.
import * as appending from './appending.mjs';
import * as reading from './reading.mjs';
import * as usage from './usage.mjs';

export const tasks = { ...appending, ...reading, ...usage };
