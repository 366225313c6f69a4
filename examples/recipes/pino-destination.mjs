// A destination for pino: each line of the log is a record.
import { appendLines } from '@sage/chronicle';

export const pinoOptions = {
  base: { type: 'LOG', actor: { agent: 'app', id: String(process.pid) } },
  timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
};

export const chronicleDestination = (path, onError = (error) => process.emitWarning(error)) => ({
  write(line) {
    appendLines(path, line, { durability: 'os' }).catch(onError);
  },
});
