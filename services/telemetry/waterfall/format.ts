/** Durations and untrusted text, for a terminal. */

/** Three digits that matter: 0.4ms, 12ms, 1.24s, 12.4s, 3m12s, 2h05m, 12d3h. */
export function duration(ms: number): string {
  if (ms < 0.05) return "0ms";
  if (ms < 1) return `${ms.toFixed(1)}ms`;
  if (ms < 999.5) return `${ms.toFixed(0)}ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)}s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)}d${hours % 24}h`;
}

const pad = (value: number) => String(value).padStart(2, "0");

// Control characters, and the marks that change the direction of text.
// eslint-disable-next-line no-control-regex -- they are what is looked for
const commanding = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+/g;

/**
 * One line that cannot command the terminal: names, messages and commit subjects are written by strangers, and an
 * escape sequence in them could retitle the window or hide text, a direction mark make it read differently.
 */
export const printable = (text: string): string =>
  text.replace(commanding, " ").replace(/ {2,}/g, " ").trim();

/** Cut to a width, with an ellipsis. */
export const fit = (text: string, width: number): string =>
  text.length <= width ? text : width <= 1 ? text.slice(0, Math.max(width, 0)) : `${text.slice(0, width - 1)}…`;
