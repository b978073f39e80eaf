/**
 * From time to columns. A long stretch in which nothing ran (a commit pushed days later) is cut out, so that the rest
 * stays readable.
 */

export type Interval = { startMs: number; endMs: number };
export type Axis = Interval & {
  /** Where an instant is drawn, in columns with a fraction: 0 to `columns`. */
  columnOf(ms: number): number;
  /** The instant at a column, undefined inside a cut. */
  msAt(column: number): number | undefined;
  cuts: Interval[];
};

const cutShare = 0.06; // of the width, for each cut
const mostCuts = 3;

export function axisOf(whole: Interval, busy: Interval[], columns: number): Axis {
  const cuts = cutsOf(whole, busy);
  const cutMs = cuts.reduce((sum, cut) => sum + length(cut), 0);
  const shownMs = Math.max(length(whole) - cutMs, 0.001);
  const standInMs = (shownMs * cutShare) / (1 - cutShare * cuts.length);
  const scale = columns / (shownMs + standInMs * cuts.length);

  const columnOf = (ms: number): number => {
    let at = Math.min(Math.max(ms, whole.startMs), whole.endMs) - whole.startMs;
    for (const cut of cuts) {
      const passed = Math.min(Math.max(ms - cut.startMs, 0), length(cut));
      at += (passed / length(cut)) * standInMs - passed;
    }
    return Math.min(Math.max(at * scale, 0), columns);
  };
  const msAt = (column: number): number | undefined => {
    let ms = whole.startMs + column / scale;
    for (const cut of cuts) {
      if (ms <= cut.startMs) break;
      if (ms < cut.startMs + standInMs) return undefined;
      ms += length(cut) - standInMs;
    }
    return Math.min(ms, whole.endMs);
  };
  return { ...whole, columnOf, msAt, cuts };
}

// A gap is cut when it is longer than everything else together.
function cutsOf(whole: Interval, busy: Interval[]): Interval[] {
  const gaps = gapsOf(whole, busy).sort((a, b) => length(b) - length(a));
  const cuts: Interval[] = [];
  let leftMs = length(whole);
  for (const gap of gaps.slice(0, mostCuts)) {
    if (length(gap) <= leftMs - length(gap) || leftMs - length(gap) <= 0) break;
    cuts.push(gap);
    leftMs -= length(gap);
  }
  return cuts.sort((a, b) => a.startMs - b.startMs);
}

/** The stretches of `whole` that no interval covers. */
export function gapsOf(whole: Interval, busy: Interval[]): Interval[] {
  const gaps: Interval[] = [];
  let coveredToMs = whole.startMs;
  for (const { startMs, endMs } of [...busy].sort((a, b) => a.startMs - b.startMs)) {
    if (startMs > coveredToMs) gaps.push({ startMs: coveredToMs, endMs: startMs });
    coveredToMs = Math.max(coveredToMs, endMs);
  }
  if (whole.endMs > coveredToMs) gaps.push({ startMs: coveredToMs, endMs: whole.endMs });
  return gaps;
}

const length = ({ startMs, endMs }: Interval): number => endMs - startMs;
