// The prose of a file: its comments, or the text of a page outside code. `prose.spec.ts` applies
// the rule.
import ts from 'typescript';

export interface Finding {
  line: number;
  message: string;
}

/** The widest line that holds a comment, in columns. */
const MAX_COMMENT_COLUMNS = 100;
const MAX_SENTENCE_WORDS = 30;

/** Words that the rule replaces, and what replaces them. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/\b(tells?|told|telling)\b/gi, 'report, return, publish, show, distinguish'],
  [/\b(hears?|heard)\b/gi, 'receive, be notified'],
  [/\b(who|whom|whoever)\b/gi, 'the noun: process, caller, thread, reader'],
  [/\banew\b/gi, 'again, from the start'],
  [/\bat it\b/gi, 'the noun, with its own verb'],
  [/\b(came|comes?|coming) to stand\b/gi, 'is, was placed'],
  [/\bneeds not\b/gi, 'does not need'],
  [/\bso many\b/gi, 'the number, or "that number of"'],
  [/\b(leaves?|left) word\b/gi, 'creates a marker'],
  [/\bwhat (it|they) ha(s|ve|d)\b/gi, 'the noun: its contents'],
  [/\bnobody knows\b/gi, 'is unknown'],
  [/\bgoes(?=[.,;:)]|$| (when|as soon|once|if)\b)/gi, 'is removed'],
];

/** Where each comment of a text starts and ends. */
type Comments = (text: string) => (readonly [number, number])[];

const isScript = /\.[cm]?[jt]sx?$/;
const isShell = /\.(sh|py|toml|ya?ml)$|\.ci\/run$|scripts\/(\w+\/)?(platforms|run)$/;

/** How comments are found in files of this name; null for a file without prose. */
function commentsFor(file: string): Comments | null {
  if (isScript.test(file)) return scriptComments;
  if (/\.(rs|c|h)$/.test(file)) return nativeComments;
  if (isShell.test(file)) return (text) => matches(text, /^[ \t]*(#(?!!).*)$/gm);
  return null;
}

export const hasProse = (file: string) => file.endsWith('.md') || commentsFor(file) !== null;

/** Comments as the TypeScript parser sees them, so that a string or a pattern is none. */
function scriptComments(text: string): (readonly [number, number])[] {
  const source = ts.createSourceFile('x.tsx', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const found = new Map<number, number>();
  const visit = (node: ts.Node) => {
    const children = node.getChildren(source);
    if (children.length > 0) return children.forEach(visit);
    const trivia = [
      ...(ts.getLeadingCommentRanges(text, node.pos) ?? []),
      ...(ts.getTrailingCommentRanges(text, node.end) ?? []),
    ];
    for (const { pos, end } of trivia) found.set(pos, end);
  };
  visit(source);
  return [...found].sort(([a], [b]) => a - b);
}

/** Comments of Rust and C: whatever stands outside strings and characters. */
function nativeComments(text: string): (readonly [number, number])[] {
  const token =
    /(r(#*)"[\s\S]*?"\2|"(?:\\[\s\S]|[^"\\])*"|'(?:\\(?:u\{\w+\}|.)[^']*|[^'\\])')|(\/\/.*|\/\*[\s\S]*?\*\/)/g;
  return [...text.matchAll(token)].flatMap(({ index, 3: comment }) =>
    comment === undefined ? [] : [[index, index + comment.length] as const],
  );
}

function matches(text: string, pattern: RegExp): (readonly [number, number])[] {
  return [...text.matchAll(pattern)].map(({ index, 0: all }) => [index, index + all.length]);
}

const lineOf = (text: string, offset: number) => text.slice(0, offset).split('\n').length;

interface Line {
  line: number;
  text: string;
  /** Code precedes the comment, so that the lines before it are not its paragraph. */
  isApart?: boolean;
}

/** The lines of a file that hold a comment, with the comment's own text. */
function commentLines(file: string, text: string): Line[] {
  return (commentsFor(file)?.(text) ?? []).flatMap(([start, end]) => {
    const first = lineOf(text, start);
    const isApart = text.slice(text.lastIndexOf('\n', start - 1) + 1, start).trim() !== '';
    const lines = text.slice(start, end).split('\n');
    return lines.map((line, n) => ({ line: first + n, text: line, isApart: isApart && n === 0 }));
  });
}

const MARK = /^\s*(\/\/[/!]?|\/\*+!?|\*(?!\/)|#+)?\s?|\s*\*\/\s*$/g;

/** Paragraphs, list items and cells of tables in lines without the marks of comments or pages. */
function paragraphs(lines: Line[]): Line[] {
  const found: Line[] = [];
  let open: Line | null = null;
  let fence = false;
  let last = 0;
  for (const { line, text, isApart } of lines) {
    if (line > last + 1 || isApart) [open, fence] = [null, false];
    last = line;
    // Code, and hidden code of an example.
    const isFence = /^\s*(```|~~~|<!--(?!.*-->)|-->)/.test(text);
    if (isFence) fence = !fence;
    const bare = text.trim();
    if (fence || isFence || bare === '' || /^(@\w+$|<!--|[-=|: ]+$)/.test(bare)) {
      open = null;
    } else if (bare.startsWith('|')) {
      const cells = bare.split(/(?<!\\)\||;/);
      found.push(...cells.map((cell) => ({ line, text: cell.trim() })));
      open = null;
    } else if (open && !/^([-*+]|\d+\.|#+|@\w+) /.test(bare)) {
      open.text += `\n${bare}`;
    } else {
      open = { line, text: bare };
      found.push(open);
      if (/^#+ /.test(bare)) open = null;
    }
  }
  return found;
}

/** What the rule finds in a file. */
export function findings(file: string, text: string): Finding[] {
  const isPage = file.endsWith('.md');
  const comments = isPage ? [] : commentLines(file, text);
  const all = text.split('\n');
  const prose = isPage
    ? all.map((line, n) => ({ line: n + 1, text: line }))
    : comments.map((line) => ({ ...line, text: line.text.replace(MARK, '') }));
  return [
    ...[...new Set(comments.map(({ line }) => line))].flatMap((line) =>
      tooWide(line, all[line - 1]),
    ),
    ...paragraphs(prose).flatMap(({ line, text }) => inParagraph(line, text)),
  ].sort((a, b) => a.line - b.line);
}

function tooWide(line: number, text = ''): Finding[] {
  const isOneWord = /^\s*\S+\s+\S+$/.test(text);
  const width = [...text].length;
  if (width <= MAX_COMMENT_COLUMNS || isOneWord) return [];
  return [{ line, message: `${width} columns: a comment has at most ${MAX_COMMENT_COLUMNS}` }];
}

function inParagraph(line: number, text: string): Finding[] {
  // Code, quotations and the targets of links are no prose. Line breaks stay, to count lines by.
  const cut = (part: string) => `X${part.replace(/[^\n]/g, '')}`;
  const prose = text
    .replace(/(`+)[\s\S]*?\1/g, cut)
    .replace(/["“][^"”]*["”]/g, cut)
    .replace(/\]\([^)]*\)/g, (target) => `]${target.replace(/[^\n]/g, '')}`)
    .replace(/https?:\/\/\S+/g, cut);
  const at = (offset: number) => line + lineOf(prose, offset) - 1;
  const words = WORDS.flatMap(([word, better]) =>
    [...prose.matchAll(word)].map(({ index, 0: found }) => ({
      line: at(index),
      message: `"${found}": ${better}`,
    })),
  );
  const long = [...prose.matchAll(/\S[\s\S]*?(?:[.!?][)*_]*(?=\s)|$)/g)].flatMap(
    ({ index, 0: sentence }) => {
      const count = sentence.split(/\s+/).filter((word) => /\w/.test(word)).length;
      const message = `${count} words in a sentence: at most ${MAX_SENTENCE_WORDS}`;
      return count > MAX_SENTENCE_WORDS ? [{ line: at(index), message }] : [];
    },
  );
  return [...words, ...long];
}
