/** Go's `path/filepath.Match`, which Flux's ignore rules are written in: `*`, `?`, `[a-z]`, `[^a-z]` and `\`. */

type Token = "*" | { one: (character: string) => boolean };

/** Whether a name (without slashes) is matched. */
export type Glob = (name: string) => boolean;

/** Undefined when the pattern is malformed: in Go it then matches nothing. */
export function compileGlob(pattern: string): Glob | undefined {
  // Nearly all are a name, or an ending, and every path is asked about each of them.
  if (!/[*?[\\]/.test(pattern)) return (name) => name === pattern;
  const [, ending] = /^\*([^*?[\\]*)$/.exec(pattern) ?? [];
  if (ending !== undefined) return (name) => name.endsWith(ending);
  const tokens = readTokens([...pattern]);
  return tokens && ((name) => matches(tokens, [...name]));
}

// At most one star is undone at a time, so a hostile pattern costs name times pattern and no more.
function matches(tokens: Token[], name: string[]): boolean {
  let [t, n] = [0, 0];
  let star: { t: number; n: number } | undefined;
  while (n < name.length) {
    const token = tokens[t];
    if (token === "*") star = { t: ++t, n };
    else if (token?.one(name[n] ?? "")) [t, n] = [t + 1, n + 1];
    else if (star) [t, n] = [star.t, ++star.n];
    else return false;
  }
  return tokens.slice(t).every((token) => token === "*");
}

function readTokens(pattern: string[]): Token[] | undefined {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length;) {
    const character = pattern[at++];
    if (character === "*") tokens.push("*");
    else if (character === "?") tokens.push({ one: () => true });
    else if (character === "[") {
      const set = readSet(pattern, at);
      if (!set) return undefined;
      tokens.push({ one: set.has });
      at = set.end;
    } else {
      const literal = character === "\\" ? pattern[at++] : character;
      if (literal === undefined) return undefined;
      tokens.push({ one: (other) => other === literal });
    }
  }
  return tokens;
}

/** @param at just after the bracket; `end` is just after the closing one */
function readSet(pattern: string[], at: number): { has: (character: string) => boolean; end: number } | undefined {
  const negated = pattern[at] === "^";
  if (negated) at++;
  const ranges: { from: number; to: number }[] = [];
  const read = () => {
    if (pattern[at] === "-" || pattern[at] === "]") return undefined;
    if (pattern[at] === "\\") at++;
    return pattern[at++]?.codePointAt(0);
  };
  while (pattern[at] !== "]" || ranges.length === 0) {
    const from = read();
    if (from === undefined) return undefined;
    let to: number | undefined = from;
    if (pattern[at] === "-") {
      at++;
      to = read();
    }
    if (to === undefined) return undefined;
    ranges.push({ from, to });
  }
  const has = (character: string) => {
    const code = character.codePointAt(0) ?? 0;
    return ranges.some(({ from, to }) => from <= code && code <= to) !== negated;
  };
  return { has, end: at + 1 };
}
