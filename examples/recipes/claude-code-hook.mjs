// A PostToolUse hook of Claude Code: records each tool call in a log. The call comes as JSON on the
// standard input.
import { json } from 'node:stream/consumers';
import { append } from '@sage/chronicle';

const call = await json(process.stdin);
const { command, file_path: filePath } = call.tool_input ?? {};
await append(
  process.argv[2] ?? '.sage/claude.sage',
  {
    type: 'TOOL_USED',
    timestamp: new Date().toISOString(),
    actor: { agent: 'claude-code', id: call.session_id },
    tool: call.tool_name,
    // Which file, which command: contents of files may hold secrets, and stay out.
    ...(command && { command }),
    ...(filePath && { filePath }),
  },
  // A hook that is run twice for one call writes one record.
  { idempotencyKey: call.tool_use_id },
);
