/** The tree as rows: a name, a duration and a bar for each span, its error below it. */
import type { StoredSpan } from "#protocol/trace/span.ts";
import { stepOf } from "./account.ts";
import type { Axis } from "./axis.ts";
import { duration, fit, printable } from "./format.ts";
import { toneOf, type Glyphs } from "./glyphs.ts";
import { durationWidth, type Look } from "./look.ts";
import { leavesOf, type Branch } from "./tree.ts";

export type Row = {
  indent: string;
  /** What stands in place of the indent on a line below the row. */
  below: string;
  label: string;
  branch?: Branch;
};

type Shape = { glyphs: Glyphs; mostChildren: number };

export function rowsOf(branch: Branch, shape: Shape, indent = "", below = ""): Row[] {
  const { glyphs, mostChildren } = shape;
  const mark = branch.open ? `${glyphs.open} ` : branch.span.error ? `${glyphs.failed} ` : "";
  const label = `${mark}${printable(branch.span.name)}${branch.open ? " (not finished)" : ""}`;
  const rows: Row[] = [{ indent, below, label, branch }];
  const worth = worthShowing(branch.children, mostChildren);
  const shown = branch.children.filter((child) => worth.has(child));
  const hidden = branch.children.filter((child) => !worth.has(child));
  for (const [index, child] of shown.entries()) {
    const last = index === shown.length - 1 && hidden.length === 0;
    const [joint, line] = last ? [glyphs.corner, glyphs.space] : [glyphs.tee, glyphs.pipe];
    rows.push(...rowsOf(child, shape, below + joint, below + line));
  }
  if (hidden.length > 0) {
    const longestMs = Math.max(...hidden.map(lengthOf));
    rows.push({ indent: below + glyphs.corner, below, label: `${hidden.length} more, ${duration(longestMs)} at most` });
  }
  return rows;
}

/** All of a few; of many, the failed and unfinished ones first, then the longest. */
function worthShowing(children: Branch[], most: number): Set<Branch> {
  if (children.length <= most) return new Set(children);
  const weight = (branch: Branch) => (hasFailure(branch) || branch.open ? Number.MAX_SAFE_INTEGER : lengthOf(branch));
  return new Set([...children].sort((a, b) => weight(b) - weight(a)).slice(0, most - 1));
}

const hasFailure = (branch: Branch): boolean => branch.span.error !== undefined || branch.children.some(hasFailure);
const lengthOf = ({ span, endMs }: Branch): number => endMs - span.startMs;

export function drawRow({ indent, below, label, branch }: Row, look: Look): string[] {
  const { glyphs, paint, nameWidth, width } = look;
  const name = fit(label, Math.max(nameWidth - indent.length, 4)).padEnd(nameWidth - indent.length);
  if (!branch) return [paint("dim", indent + name)];
  const { span, open } = branch;
  const tone = span.error ? "bad" : open ? "dim" : branch.children.length > 0 ? "strong" : "plain";
  const time = duration(lengthOf(branch)).padStart(durationWidth);
  const bar = branch.children.length > 0 ? parentBar(branch, look) : leafBar(span, look);
  const edge = paint("dim", glyphs.edge);
  const row = `${paint("dim", indent)}${paint(tone, name)}${time} ${edge}${bar}${edge}`;
  if (!span.error) return [row];
  const prefix = `${below}${branch.children.length > 0 ? glyphs.pipe : glyphs.space}`;
  const message = fit(printable(`${span.error.type}: ${span.error.message}`), width - prefix.length);
  return [row, `${paint("dim", prefix)}${paint("bad", message)}`];
}

/** Solid while a step of it runs, dotted while it waits. */
function parentBar(branch: Branch, { axis, barWidth, glyphs, paint }: Look): string {
  const cells = Array.from({ length: barWidth }, () => " ");
  const fill = (startMs: number, endMs: number, glyph: string) => {
    const [from, to] = columns(startMs, endMs, axis, barWidth);
    for (let column = from; column < to; column++) cells[column] = glyph;
  };
  fill(branch.span.startMs, branch.endMs, glyphs.idle);
  for (const { startMs, endMs } of leavesOf(branch)) fill(startMs, endMs, glyphs.busy);
  drawCuts(cells, axis, glyphs);
  return paint(branch.span.error ? "bad" : "dim", cells.join(""));
}

function leafBar(span: StoredSpan, { axis, barWidth, glyphs, paint }: Look): string {
  const cells = Array.from({ length: barWidth }, () => " ");
  const [from, to] = columns(span.startMs, span.endMs, axis, barWidth);
  for (let column = from; column < to; column++) cells[column] = glyphs.leaf;
  const end = axis.columnOf(span.endMs);
  const covered = to - from === 1 ? end - axis.columnOf(span.startMs) : end - (to - 1);
  cells[to - 1] = glyphs.ends[Math.round(Math.min(Math.max(covered, 0), 1) * (glyphs.ends.length - 1))]!;
  drawCuts(cells, axis, glyphs);
  return paint(span.error ? "bad" : toneOf(stepOf(span)), cells.join(""));
}

/** At least one column, whole columns. */
function columns(startMs: number, endMs: number, axis: Axis, barWidth: number): [number, number] {
  const from = Math.min(Math.floor(axis.columnOf(startMs)), barWidth - 1);
  return [from, Math.max(from + 1, Math.min(Math.ceil(axis.columnOf(endMs)), barWidth))];
}

function drawCuts(cells: string[], axis: Axis, glyphs: Glyphs): void {
  for (const cut of axis.cuts) {
    const from = Math.ceil(axis.columnOf(cut.startMs));
    const to = Math.floor(axis.columnOf(cut.endMs)); // whole columns only: its neighbours keep theirs
    for (let column = from; column < to; column++) if (cells[column] !== " ") cells[column] = glyphs.cut;
  }
}
