// One line per phase; on a terminal the line counts up while the phase runs.
const terminal = process.stdout.isTTY;
export const number = (value) => value.toLocaleString('en-US');

/** Starts a phase over `total` steps; `step()` counts one, `end(text)` closes its line. */
export function phase(name, total) {
  const started = Date.now();
  const label = `  ${name.padEnd(22)}`;
  let done = 0;
  let shown = 0;
  return {
    step() {
      done += 1;
      if (!terminal || Date.now() - shown < 100) return;
      shown = Date.now();
      process.stdout.write(`\r${label}${number(done)} of ${number(total)}`);
    },
    end(text) {
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      console.log(`${terminal ? '\r\x1b[K' : ''}${label}${text} (${seconds} s)`);
    },
  };
}
