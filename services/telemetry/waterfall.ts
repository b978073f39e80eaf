/** A trace as a waterfall for the terminal: who waited for whom, for how long, and where it failed. Pure. */
import type { StoredSpan } from "#protocol/trace/span.ts";
import { axisOf } from "./waterfall/axis.ts";
import { ascii, painter, unicode } from "./waterfall/glyphs.ts";
import { durationWidth, type Look } from "./waterfall/look.ts";
import { drawRow, rowsOf } from "./waterfall/rows.ts";
import { footer, header } from "./waterfall/summary.ts";
import { ticks } from "./waterfall/ticks.ts";
import { leavesOf, treeOf } from "./waterfall/tree.ts";

export type WaterfallOptions = {
  /** Columns of the terminal; 60 at least. */
  width: number;
  colour?: boolean;
  /** For terminals without box drawing. */
  ascii?: boolean;
  /** Rows per parent; failures and the longest are kept. */
  mostChildren?: number;
};

export function waterfall(spans: StoredSpan[], options: WaterfallOptions): string {
  const roots = treeOf(spans);
  if (roots.length === 0) return "no spans\n";
  const width = Math.max(options.width, 60);
  const glyphs = options.ascii ? ascii : unicode;
  const rows = roots.flatMap((root) => rowsOf(root, { glyphs, mostChildren: options.mostChildren ?? 24 }));
  const longestName = Math.max(20, ...rows.map(({ indent, label }) => indent.length + label.length));
  const nameWidth = Math.min(longestName + 1, Math.floor(width * 0.45));
  const barWidth = width - nameWidth - durationWidth - 3;

  const startMs = Math.min(...roots.map(({ span }) => span.startMs));
  const whole = { startMs, endMs: Math.max(startMs, ...roots.map(({ endMs }) => endMs)) };
  const leaves = roots.flatMap((root) => [...leavesOf(root)]);
  const axis = axisOf(whole, leaves, barWidth);
  const look: Look = { glyphs, paint: painter(options.colour ?? false), width, nameWidth, barWidth, axis };

  const lines = [
    ...header(roots, spans, look),
    "",
    ticks(look),
    ...rows.flatMap((row) => drawRow(row, look)),
    "",
    ...footer(leaves, look),
  ];
  const text = `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
  return options.ascii ? text.replaceAll("…", "~") : text;
}
