/** A trace as a waterfall for the terminal: who waited for whom, for how long, and where it failed. Pure. */
import { attribute } from "#protocol/trace/attributes.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";
import { accountOf, stepOf } from "./waterfall/account.ts";
import { axisOf, type Axis, type Interval } from "./waterfall/axis.ts";
import { duration, fit, printable } from "./waterfall/format.ts";
import { ascii as asciiGlyphs, painter, toneOf, unicode, type Glyphs, type Paint } from "./waterfall/glyphs.ts";
import { isChange, isUnitRun, leavesOf, treeOf, type Branch } from "./waterfall/tree.ts";

export type WaterfallOptions = {
  /** Columns of the terminal; 60 at least. */
  width: number;
  colour?: boolean;
  /** For terminals without box drawing. */
  ascii?: boolean;
  /** Rows per parent; failures and the longest are kept. */
  mostChildren?: number;
};

type Look = { glyphs: Glyphs; paint: Paint; width: number; nameWidth: number; barWidth: number; axis: Axis; mostChildren: number };

const durationWidth = 8;

export function waterfall(spans: StoredSpan[], options: WaterfallOptions): string {
  const roots = treeOf(spans);
  if (roots.length === 0) return "no spans\n";
  const width = Math.max(options.width, 60);
  const glyphs = options.ascii ? asciiGlyphs : unicode;
  const paint = painter(options.colour ?? false);
  const mostChildren = options.mostChildren ?? 24;

  const startMs = Math.min(...roots.map(({ span }) => span.startMs));
  const whole = { startMs, endMs: Math.max(startMs, ...roots.map(({ endMs }) => endMs)) };
  const leaves = roots.flatMap((root) => [...leavesOf(root)]);
  const names = roots.flatMap((root) => rowsOf(root, "", "", glyphs, mostChildren)).map(({ indent, label }) => indent.length + label.length);
  const nameWidth = Math.min(Math.max(...names, 20) + 1, Math.floor(width * 0.45));
  const barWidth = width - nameWidth - durationWidth - 3;
  const look: Look = { glyphs, paint, width, nameWidth, barWidth, axis: axisOf(whole, leaves, barWidth), mostChildren };

  const lines = [
    ...header(roots, spans, look),
    "",
    ticks(look),
    ...roots.flatMap((root) => rowsOf(root, "", "", glyphs, mostChildren)).flatMap((row) => drawRow(row, look)),
    "",
    ...footer(leaves, look),
  ];
  const text = `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
  return options.ascii ? text.replaceAll("…", "~") : text;
}

type Row = {
  indent: string;
  /** What stands in place of the indent on a line below the row. */
  below: string;
  label: string;
  branch?: Branch;
};

function rowsOf(branch: Branch, indent: string, below: string, glyphs: Glyphs, mostChildren: number): Row[] {
  const mark = branch.open ? `${glyphs.open} ` : branch.span.error ? `${glyphs.failed} ` : "";
  const rows: Row[] = [{ indent, below, label: `${mark}${printable(branch.span.name)}${branch.open ? " (not finished)" : ""}`, branch }];
  const shown = worthShowing(branch.children, mostChildren);
  const hidden = branch.children.filter((child) => !shown.has(child));
  const children = branch.children.filter((child) => shown.has(child));
  for (const [index, child] of children.entries()) {
    const last = index === children.length - 1 && hidden.length === 0;
    rows.push(...rowsOf(child, below + (last ? glyphs.corner : glyphs.tee), below + (last ? glyphs.space : glyphs.pipe), glyphs, mostChildren));
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

function drawRow({ indent, below, label, branch }: Row, look: Look): string[] {
  const { glyphs, paint, nameWidth, width } = look;
  const name = fit(label, Math.max(nameWidth - indent.length, 4)).padEnd(nameWidth - indent.length);
  if (!branch) return [paint("dim", indent + name)];
  const { span, open } = branch;
  const tone = span.error ? "bad" : open ? "dim" : branch.children.length > 0 ? "strong" : "plain";
  const time = duration(lengthOf(branch)).padStart(durationWidth);
  const bar = branch.children.length > 0 ? parentBar(branch, look) : leafBar(span, look);
  const row = `${paint("dim", indent)}${paint(tone, name)}${time} ${paint("dim", glyphs.edge)}${bar}${paint("dim", glyphs.edge)}`;
  if (!span.error) return [row];
  const prefix = `${below}${branch.children.length > 0 ? glyphs.pipe : glyphs.space}`;
  return [row, `${paint("dim", prefix)}${paint("bad", fit(printable(`${span.error.type}: ${span.error.message}`), width - prefix.length))}`];
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

function ticks({ axis, barWidth, nameWidth, paint }: Look): string {
  const { startMs, endMs } = countedFrom(axis);
  const total = duration(endMs - startMs);
  let line = "";
  for (const ms of roundSteps(endMs - startMs)) {
    const label = ms === 0 ? "0" : duration(ms).replace(/\.0+s$/, "s");
    const column = Math.round(axis.columnOf(startMs + ms));
    const free = column >= line.length + (line ? 2 : 0) && column + label.length < barWidth - total.length - 1;
    if (free) line = line.padEnd(column) + label;
  }
  return paint("dim", " ".repeat(nameWidth + durationWidth + 2) + line.padEnd(barWidth - total.length) + total);
}

/** 0 and some three to six round instants: steps of 1, 2 or 5 times a power of ten milliseconds. */
function roundSteps(lengthMs: number): number[] {
  const rough = lengthMs / 4;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 0.1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((ms) => ms >= rough * 0.8) ?? rough;
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, i) => i * step);
}

/** Where the clock starts: with the commit, or, when it was noticed much later, with the first step. */
const countedFrom = (axis: Axis): Interval => {
  const [first] = axis.cuts;
  return { startMs: first?.startMs === axis.startMs ? first.endMs : axis.startMs, endMs: axis.endMs };
};

function header(roots: Branch[], spans: StoredSpan[], { paint, glyphs, width, axis }: Look): string[] {
  const change = spans.find(isChange);
  const about = (key: string) => printable(String(change?.attributes?.[key] ?? ""));
  const title = about(attribute.changeTitle);
  const name = printable((change ?? roots[0]!.span).name);
  const facts = [
    about(attribute.repositoryUrl),
    about(attribute.refName),
    `${new Date(axis.startMs).toISOString().slice(0, 19)}Z`,
    `trace ${roots[0]!.span.traceId}`,
  ].filter(Boolean);
  return [
    fit(title ? `${name}  "${title}"` : name, width).replace(name, (text) => paint("strong", text)),
    paint("dim", fit(facts.join("  "), width)),
    verdict(roots, elapsed(axis, change !== undefined), { paint, glyphs }),
  ];
}

function elapsed(axis: Axis, hasCommit: boolean): string {
  const { startMs, endMs } = countedFrom(axis);
  if (!hasCommit) return `in ${duration(endMs - startMs)}`;
  if (startMs === axis.startMs) return `${duration(endMs - startMs)} after the commit`;
  return `${duration(endMs - startMs)} after it was noticed, ${duration(endMs - axis.startMs)} after the commit`;
}

/** One line on the outcome: the last run of every unit counts. */
function verdict(roots: Branch[], after: string, { paint, glyphs }: { paint: Paint; glyphs: Glyphs }): string {
  const all = roots.flatMap(function flat(branch: Branch): Branch[] {
    return [branch, ...branch.children.flatMap(flat)];
  });
  const runs = new Map<string, Branch>();
  for (const branch of all) {
    const unit = isUnitRun(branch.span) ? String(branch.span.attributes![attribute.unit]) : undefined;
    if (unit !== undefined && branch.span.startMs >= (runs.get(unit)?.span.startMs ?? 0)) runs.set(unit, branch);
  }
  const failed = runs.size > 0 ? [...runs.values()].filter(({ span }) => span.error) : all.filter(({ span }) => span.error);
  const open = all.filter((branch) => branch.open);
  if (failed.length > 0) {
    const what = runs.size > 0 ? `${failed.length} of ${runs.size} units failed` : "failed";
    return paint("bad", `${glyphs.failed} ${what}, ${after}`);
  }
  if (open.length > 0) return paint("health", `${glyphs.open} not finished ${after}`);
  const units = runs.size === 1 ? "1 unit" : `${runs.size} units`;
  return paint("good", `${glyphs.done} ${runs.size > 0 ? `${units} done` : "done"}, ${after}`);
}

function footer(leaves: StoredSpan[], { axis, paint, glyphs, width }: Look): string[] {
  const counted = countedFrom(axis);
  const wholeMs = counted.endMs - counted.startMs;
  if (leaves.length === 0 || wholeMs <= 0) return [];
  const cutMs = axis.cuts.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  const parts = accountOf(counted, leaves)
    .filter(({ ms }) => ms / wholeMs >= 0.005)
    .slice(0, 6)
    .map(({ step, ms }) => ({ step: printable(step), text: `${printable(step)} ${duration(ms)} (${Math.round((ms / wholeMs) * 100)}%)` }));
  const lines = [`${paint("dim", "time went to: ")}${parts.map(({ step, text }) => paint(toneOf(step), text)).join(paint("dim", ", "))}`];
  if (cutMs > 0) lines.push(paint("dim", fit(`${glyphs.cut}${glyphs.cut} ${duration(cutMs)} in which nothing ran: not to scale`, width)));
  return lines;
}
