/** Paths within an archive, and the patterns that pick some of them. */
import { compileGlob, type Glob } from "#services/sources/glob.ts";

/** Without what means nothing in a path. @throws RangeError for one that leads out */
export function cleaned(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new RangeError(`${JSON.stringify(path.slice(0, 200))} leads out of the artifact`);
  return parts.join("/");
}

export const joined = (...parts: string[]): string => parts.filter((part) => part !== "").join("/");
export const baseOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
export const isGlob = (pattern: string): boolean => /[*?[\]]/.test(pattern);

type Matches = (path: string) => boolean;

/** Go's `fs.Glob`: part by part, `**` is no more than `*`. @throws RangeError */
export function flatPattern(pattern: string): Matches {
  const globs = cleaned(pattern).split("/").map((part) => globOf(part, pattern));
  return (path) => {
    const parts = path.split("/");
    return parts.length === globs.length && globs.every((glob, i) => glob(parts[i] ?? ""));
  };
}

const mostAlternatives = 256;

/** As doublestar has it: `**` any number of directories, `{a,b}` either. @throws RangeError */
export function deepPattern(pattern: string): Matches {
  const alternatives = spelledOut(pattern, pattern).map((each) => each.split("/").map((part) => (part === "**" ? undefined : globOf(part, pattern))));
  return (path) => alternatives.some((parts) => fits(parts, path.split("/")));
}

/** Row by row, so that a hostile pattern costs its length times the path's. */
function fits(pattern: (Glob | undefined)[], path: string[]): boolean {
  let row = [true, ...path.map(() => false)];
  for (const glob of pattern) {
    const next = Array.from({ length: path.length + 1 }, () => false);
    for (let at = 0; at <= path.length; at++)
      next[at] = glob ? at > 0 && row[at - 1] === true && glob(path[at - 1] ?? "") : row[at] === true || (at > 0 && next[at - 1] === true);
    row = next;
  }
  return row[path.length] === true;
}

function spelledOut(pattern: string, whole: string): string[] {
  const found = /^((?:[^{}\\]|\\[^])*)\{((?:[^{}\\]|\\[^])*)\}([^]*)$/.exec(pattern);
  if (!found) return [pattern];
  const [, before = "", either = "", after = ""] = found;
  const rest = spelledOut(after, whole);
  const all = either.split(",").flatMap((one) => rest.map((end) => `${before}${one}${end}`));
  if (all.length > mostAlternatives) throw new RangeError(`pattern ${JSON.stringify(whole.slice(0, 200))} has more than ${mostAlternatives} alternatives`);
  return all;
}

function globOf(part: string, pattern: string): Glob {
  const glob = compileGlob(part);
  if (!glob) throw new RangeError(`pattern ${JSON.stringify(pattern.slice(0, 200))} is malformed`);
  return glob;
}
