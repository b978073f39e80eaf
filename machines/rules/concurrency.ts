/**
 * How many requests a server is asked to answer at once: more, one by one, while it keeps up; fewer at once when it says
 * that it is overloaded or becomes slow (additive increase, multiplicative decrease: ownership.md 7.9).
 */

export type ConcurrencyBounds = {
  floor: number;
  ceiling: number;
  /** The limit it begins with. */
  first: number;
  /** What is left of the limit after a cut. */
  cut: number;
  /** Slow: even the fastest answer of a window took this many times the fastest of the last minute. */
  slowFactor: number;
  /** Answers within this time are never slow, however fast others were. */
  calmMs: number;
  /** How long the fastest answer is remembered: between once and twice this. */
  memoryMs: number;
};

export const usualBounds: ConcurrencyBounds = { floor: 4, ceiling: 64, first: 32, cut: 0.7, slowFactor: 3, calmMs: 100, memoryMs: 30_000 };

export type Concurrency = {
  readonly limit: number;
  /** As many answers as the limit, of requests that began after it was set: about one round trip when it is used up. */
  readonly window: { sinceMs: number; answers: number; fastestMs: number; full: boolean };
  /** The fastest answer of this span of memory, and of the one before. */
  readonly span: { sinceMs: number; fastestMs: number; beforeMs: number };
  readonly cutAtMs: number;
};

export type Answered = {
  startedMs: number;
  endedMs: number;
  /** `answered`: also with a refusal of what was asked. `lost`: it says nothing about the server's load. */
  outcome: "answered" | "overloaded" | "lost";
  /** Whether all places were taken when it began: a limit that nobody reaches is not raised. */
  full: boolean;
};

export function beginConcurrency({ first, floor, ceiling }: ConcurrencyBounds, nowMs: number): Concurrency {
  return {
    limit: Math.min(ceiling, Math.max(floor, first)), window: windowFrom(nowMs),
    span: { sinceMs: nowMs, fastestMs: Infinity, beforeMs: Infinity }, cutAtMs: -Infinity,
  };
}

/** What one request that ended teaches. All times are monotonic milliseconds. */
export function learn(state: Concurrency, answer: Answered, bounds: ConcurrencyBounds): Concurrency {
  const { startedMs, endedMs, outcome, full } = answer;
  // What began before the last cut was refused for the same reason as what was cut for.
  if (outcome === "overloaded") return startedMs > state.cutAtMs ? cutBack(state, endedMs, bounds) : state;
  if (outcome === "lost") return state;
  const tookMs = Math.max(0, endedMs - startedMs);
  const span = remember(state.span, tookMs, endedMs, bounds);
  if (startedMs < state.window.sinceMs) return { ...state, span };
  const { sinceMs, answers, fastestMs, full: wasFull } = state.window;
  const window = { sinceMs, answers: answers + 1, fastestMs: Math.min(fastestMs, tookMs), full: wasFull || full };
  if (window.answers < state.limit) return { ...state, span, window };
  const slowMs = Math.max(bounds.calmMs, bounds.slowFactor * Math.min(span.fastestMs, span.beforeMs));
  if (window.fastestMs > slowMs) return cutBack({ ...state, span }, endedMs, bounds);
  return { ...state, span, window: windowFrom(endedMs), limit: window.full ? Math.min(bounds.ceiling, state.limit + 1) : state.limit };
}

const windowFrom = (sinceMs: number) => ({ sinceMs, answers: 0, fastestMs: Infinity, full: false });

const cutBack = (state: Concurrency, nowMs: number, { floor, cut }: ConcurrencyBounds): Concurrency =>
  ({ ...state, limit: Math.max(floor, Math.floor(state.limit * cut)), window: windowFrom(nowMs), cutAtMs: nowMs });

function remember(span: Concurrency["span"], tookMs: number, nowMs: number, { memoryMs }: ConcurrencyBounds): Concurrency["span"] {
  if (nowMs - span.sinceMs >= memoryMs) return { sinceMs: nowMs, fastestMs: tookMs, beforeMs: span.fastestMs };
  return { ...span, fastestMs: Math.min(span.fastestMs, tookMs) };
}
