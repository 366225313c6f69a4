// node audit-server.mjs LOG: a server with an audit log, here without Express.
import { createServer } from 'node:http';
import { auditLog } from './audit-log.mjs';

const audit = auditLog(process.argv[2] ?? 'audit.sage', {
  userOf: (request) => request.headers['x-user'],
});
const server = createServer((request, response) => {
  void audit(request, response, (error) => {
    response.statusCode = error ? 503 : 200;
    response.end(error ? 'not recorded, not done\n' : 'done\n');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.once('SIGTERM', () => server.close());
