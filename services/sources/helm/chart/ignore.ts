/** `.helmignore`: what of a directory is no part of the chart. Its rules are Helm's own (helm pkg/ignore), not Git's. */
import { compileGlob, type Glob } from "#services/sources/glob.ts";

type Rule = { matches: (parts: string[]) => boolean; negated: boolean; onlyDirectories: boolean };

export type IgnoredByHelm = (path: string, isDirectory: boolean) => boolean;

const defaultRule = "templates/.?*";
const mostRules = 10_000;

/** @throws RangeError for a pattern that Helm refuses */
export function helmIgnore(text: string): IgnoredByHelm {
  const lines = text.split("\n").map((line) => line.replace(/^\uFEFF/, "").trim()).filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length > mostRules) throw new RangeError(`.helmignore has more than ${mostRules} rules`);
  const rules = [...lines, defaultRule].map(ruleOf);
  return (path, isDirectory) => {
    const parts = path.split("/");
    // The first rule that has something to say decides; a negated one leaves out whatever it does not match.
    for (const { matches, negated, onlyDirectories } of rules) {
      if (negated) {
        if ((onlyDirectories && !isDirectory) || !matches(parts)) return true;
      } else if ((!onlyDirectories || isDirectory) && matches(parts)) return true;
    }
    return false;
  };
}

function ruleOf(line: string): Rule {
  if (line.includes("**")) throw new RangeError(".helmignore: ** is not supported");
  const negated = line.startsWith("!");
  const bare = negated ? line.slice(1) : line;
  const onlyDirectories = bare.endsWith("/");
  const pattern = onlyDirectories ? bare.slice(0, -1) : bare;
  const globs = (pattern.startsWith("/") ? pattern.slice(1) : pattern).split("/").map(globOf);
  // Without a slash only the last part of a path counts.
  const matches = pattern.includes("/")
    ? (parts: string[]) => parts.length === globs.length && globs.every((glob, i) => glob(parts[i] ?? ""))
    : (parts: string[]) => globs[0]?.(parts.at(-1) ?? "") === true;
  return { matches, negated, onlyDirectories };
}

function globOf(pattern: string): Glob {
  const glob = compileGlob(pattern);
  if (!glob) throw new RangeError(".helmignore has a malformed pattern");
  return glob;
}
