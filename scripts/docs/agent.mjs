// node agent.mjs NAME LOG: an agent of the picture in README.md. It records 200 steps, each under a
// key, and reports how many of them the log has.
import { append } from '@sage/chronicle';

const [name, log] = process.argv.slice(2);
const count = { written: 0, there: 0 };
for (let step = 1; step <= 200; step += 1) {
  const { duplicate } = await append(
    log,
    {
      type: 'TOOL_USED',
      timestamp: new Date().toISOString(),
      actor: { agent: name, id: String(process.pid) },
      tool: step % 3 === 0 ? 'bash' : 'edit',
      step,
    },
    { idempotencyKey: `${name} ${step}` },
  );
  count[duplicate ? 'there' : 'written'] += 1;
  if (step % 50 === 0) console.log(`${name}: ${step} steps are on the disk`);
}
if (count.there > 0) console.log(`${name}: ${count.there} were there, ${count.written} are new`);
