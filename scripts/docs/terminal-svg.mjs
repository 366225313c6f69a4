// A terminal session as an SVG picture. Lines appear one after the other; a reader that prefers no
// motion, or knows no animation, sees all of them.

const themes = {
  dark: {
    back: '#0d1117',
    edge: '#30363d',
    ink: '#e6edf3',
    dim: '#8b949e',
    colours: [
      '#484f58',
      '#ff7b72',
      '#3fb950',
      '#d29922',
      '#79c0ff',
      '#d2a8ff',
      '#56d4dd',
      '#e6edf3',
    ],
  },
  light: {
    back: '#ffffff',
    edge: '#d0d7de',
    ink: '#1f2328',
    dim: '#656d76',
    colours: [
      '#24292f',
      '#cf222e',
      '#1a7f37',
      '#7d4e00',
      '#0550ae',
      '#8250df',
      '#1b7c83',
      '#57606a',
    ],
  },
};
const size = { font: 14, width: 8.43, line: 20, pad: 18 };

const escaped = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Parts of a line with the style that SGR escapes gave them. */
function spans(line) {
  let style = {};
  return line.split(/(\x1b\[[\d;]*m)/).flatMap((part) => {
    const codes = /^\x1b\[([\d;]*)m$/.exec(part)?.[1];
    if (codes === undefined) return part ? [{ text: part, ...style }] : [];
    for (const code of codes.split(';').map(Number)) {
      if (code === 0) style = {};
      else if (code === 1) style = { ...style, bold: true };
      else if (code === 2) style = { ...style, dim: true };
      else if (code === 22) style = { ...style, bold: false, dim: false };
      else if (code === 39) style = { ...style, colour: undefined };
      else if (code >= 30 && code <= 37) style = { ...style, colour: code - 30 };
      else if (code >= 90 && code <= 97) style = { ...style, colour: code - 90 };
    }
    return [];
  });
}

function span({ text, bold, dim, colour }, { colours, dim: dimInk }) {
  const fill = dim ? dimInk : colours[colour];
  const attributes = `${fill ? ` fill="${fill}"` : ''}${bold ? ' font-weight="600"' : ''}`;
  return `<tspan${attributes}>${escaped(text)}</tspan>`;
}

/**
 * The picture of `lines`, each `{ text, at }` with SGR escapes in `text` and the second at which it
 * appears.
 */
export function terminalSvg(lines, { theme, title, columns = 92 }) {
  const { back, edge, ink } = themes[theme];
  const width = Math.round(columns * size.width + 2 * size.pad);
  const height = (lines.length + 1) * size.line + 2 * size.pad;
  const rows = lines.map(({ text, at }, n) => {
    const y = size.pad + (n + 2) * size.line - 4;
    const parts = spans(text).map((part) => span(part, themes[theme]));
    const style = at > 0 ? ` style="animation-delay:${at.toFixed(2)}s"` : '';
    return `<text class="line" xml:space="preserve" x="${size.pad}" y="${y}"${style}>${parts.join('')}</text>`;
  });
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (fill, n) => `<circle cx="${size.pad + 6 + n * 20}" cy="${size.pad}" r="6" fill="${fill}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${size.font}">
<title>${escaped(title)}</title>
<style>
.line { white-space: pre; fill: ${ink}; animation: appear 0.01s backwards; }
@keyframes appear { from { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .line { animation: none; } }
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${back}" stroke="${edge}"/>
${dots.join('\n')}
${rows.join('\n')}
</svg>
`;
}
