/** The line of round instants above the bars, and where the clock starts. */
import type { Axis, Interval } from "./axis.ts";
import { duration } from "./format.ts";
import { durationWidth, type Look } from "./look.ts";

export function ticks({ axis, barWidth, nameWidth, paint }: Look): string {
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
export const countedFrom = (axis: Axis): Interval => {
  const [first] = axis.cuts;
  return { startMs: first?.startMs === axis.startMs ? first.endMs : axis.startMs, endMs: axis.endMs };
};
