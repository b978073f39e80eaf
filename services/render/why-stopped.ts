/** Why a module came to an end: a sentence that is the same on every try. What a runtime prints when it dies holds addresses and sizes. */
export function whyStopped(what: string, thrown: unknown, words: string): string {
  if (/out of memory/.test(words)) return `${what} needs more memory than it may have`;
  // Go has a stack of its own, and the engine one below it: either may be the first to end.
  if (thrown instanceof RangeError || /stack overflow|stack exceeds/.test(words)) return `${what} is nested too deeply`;
  return `the renderer ended: ${/^(?:fatal error|panic): .*$/m.exec(words)?.[0] ?? "it gave no reason"}`;
}
