// Bars of a report as one SVG. Its colours are halfway between light and dark, so that it is
// legible on either.
const ink = '#7d8590';
const ours = '#3b82f6';
const limit = '#a3a3a3';
const peer = '#d97706';
const width = 860;
const left = 210;
const right = 110;
const bar = 14;
const step = 20;

const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const text = (x, y, content, more = '') =>
  `<text x="${x}" y="${y}" fill="${ink}"${more}>${escaped(content)}</text>`;

const colour = (name) =>
  name.startsWith('ours') || name.startsWith('@') ? ours : name.startsWith('C ') ? limit : peer;

/**
 * `panels`: { title, bars: [{ name, value, label }] }. Every panel has a scale of its own, which
 * begins at 0.
 */
export function chart(title, panels) {
  const parts = [];
  let y = 8;
  for (const panel of panels) {
    y += 26;
    parts.push(text(0, y, panel.title, ' font-weight="600"'));
    y += 8;
    const most = Math.max(...panel.bars.map(({ value }) => value));
    for (const { name, value, label } of panel.bars) {
      const length = Math.max(1, ((width - left - right) * value) / most).toFixed(1);
      parts.push(text(left - 10, y + bar - 3, name, ' text-anchor="end"'));
      parts.push(
        `<rect x="${left}" y="${y}" width="${length}" height="${bar}" rx="2" fill="${colour(name)}"/>`,
      );
      parts.push(text(left + Number(length) + 8, y + bar - 3, label));
      y += step;
    }
  }
  const height = y + 12;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>${escaped(title)}</title>
${parts.join('\n')}
</svg>
`;
}
