/** What stands above the tree, the change and its outcome, and below it: where the time went. */
import { attribute } from "#protocol/trace/attributes.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";
import { accountOf } from "./account.ts";
import type { Axis } from "./axis.ts";
import { duration, fit, printable } from "./format.ts";
import { toneOf, type Glyphs, type Paint } from "./glyphs.ts";
import type { Look } from "./look.ts";
import { countedFrom } from "./ticks.ts";
import { isChange, isUnitRun, type Branch } from "./tree.ts";

export function header(roots: Branch[], spans: StoredSpan[], { paint, glyphs, width, axis }: Look): string[] {
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
  const failed =
    runs.size > 0 ? [...runs.values()].filter(({ span }) => span.error) : all.filter(({ span }) => span.error);
  const open = all.filter((branch) => branch.open);
  if (failed.length > 0) {
    const what = runs.size > 0 ? `${failed.length} of ${runs.size} units failed` : "failed";
    return paint("bad", `${glyphs.failed} ${what}, ${after}`);
  }
  if (open.length > 0) return paint("health", `${glyphs.open} not finished ${after}`);
  const units = runs.size === 1 ? "1 unit" : `${runs.size} units`;
  return paint("good", `${glyphs.done} ${runs.size > 0 ? `${units} done` : "done"}, ${after}`);
}

export function footer(leaves: StoredSpan[], { axis, paint, glyphs, width }: Look): string[] {
  const counted = countedFrom(axis);
  const wholeMs = counted.endMs - counted.startMs;
  if (leaves.length === 0 || wholeMs <= 0) return [];
  const cutMs = axis.cuts.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  const parts = accountOf(counted, leaves)
    .filter(({ ms }) => ms / wholeMs >= 0.005)
    .slice(0, 6)
    .map(({ step, ms }) => ({
      step: printable(step),
      text: `${printable(step)} ${duration(ms)} (${Math.round((ms / wholeMs) * 100)}%)`,
    }));
  const lines = [
    `${paint("dim", "time went to: ")}${parts.map(({ step, text }) => paint(toneOf(step), text)).join(paint("dim", ", "))}`,
  ];
  if (cutMs > 0)
    lines.push(
      paint("dim", fit(`${glyphs.cut}${glyphs.cut} ${duration(cutMs)} in which nothing ran: not to scale`, width)),
    );
  return lines;
}
