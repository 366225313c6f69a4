// Middleware for Express, Connect or node:http: no handler runs before its request is on the disk.
import { randomUUID } from 'node:crypto';
import { append } from '@sage/chronicle';

export function auditLog(path, { agent = 'api', userOf = (_request) => undefined } = {}) {
  const record = (type, requestId, payload) =>
    append(path, {
      type,
      timestamp: new Date().toISOString(),
      actor: { agent, id: String(process.pid) },
      requestId,
      ...payload,
    });

  return async function audit(request, response, next) {
    const requestId = randomUUID();
    const started = performance.now();
    try {
      const { method, url } = request;
      await record('REQUEST_RECEIVED', requestId, { method, url, user: userOf(request) });
    } catch (error) {
      // What cannot be recorded is not done.
      return next(error);
    }
    response.once('close', () => {
      const durationMs = Math.round(performance.now() - started);
      const { statusCode, writableFinished } = response;
      record('REQUEST_ANSWERED', requestId, { statusCode, durationMs, writableFinished }).catch(
        (error) => process.emitWarning(error),
      );
    });
    return next();
  };
}
