/**
 * What stays out of an artifact: `.sourceignore` files and spec.ignore, with the semantics of Flux, which differ from
 * Git's in places (fluxcd/pkg sourceignore): a file can be included again inside an excluded directory, and `**` takes
 * the first directory that fits.
 */
import { compileGlob, type Glob } from "./glob.ts";

/** Decides on a path, given as its components from the root of the repository. */
export type Ignored = (path: string[], isDirectory: boolean) => boolean;

type Pattern = {
  /** Directory it was found in: it says nothing of anything else. */
  domain: string[];
  segments: { text: string; glob: Glob | undefined }[];
  includes: boolean;
  directoriesOnly: boolean;
};

export const ignoreFile = ".sourceignore";

/** Longest line Flux reads: with a longer one it stops reading the file. */
const maxLineBytes = 64 * 1024;

const always = [".git/", ".gitignore", ".gitmodules", ".gitattributes"];

/** Only while neither the repository nor the spec has a rule of its own. */
const byDefault = [
  ..."*.jpg *.jpeg *.gif *.png *.wmv *.flv *.tar.gz *.zip".split(" "),
  ...".github/ .circleci/ .travis.yml .gitlab-ci.yml appveyor.yml .drone.yml".split(" "),
  ..."cloudbuild.yaml codeship-services.yml codeship-steps.yml".split(" "),
  ..."**/.goreleaser.yml **/.sops.yaml **/.flux.yaml".split(" "),
];

/**
 * @param files the repository's `.sourceignore` files, each with its directory, parents before children
 * @param unasked what is left out where nobody asks for it: when nobody has a rule, and in any case
 * @throws RangeError when a line or the list of rules is too long
 */
export function ignoreRules(files: { directory: string[]; text: string }[], own = "", maxPatterns = Infinity, unasked = [...always, ...byDefault]): Ignored {
  const theirs = [...files, { directory: [], text: own }].flatMap(({ directory, text }) =>
    readLines(text).map((line) => parsePattern(line, directory)),
  );
  if (theirs.length > maxPatterns) throw new RangeError(`more than ${maxPatterns} ignore rules`);
  const given = theirs.length > 0 ? always.filter((line) => unasked.includes(line)) : unasked;
  const last = [...given.map((line) => parsePattern(line, [])), ...theirs].reverse();
  return (path, isDirectory) => !(last.find((pattern) => applies(pattern, path, isDirectory))?.includes ?? true);
}

function readLines(text: string): string[] {
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  if (lines.some((line) => Buffer.byteLength(line) > maxLineBytes))
    throw new RangeError(`an ignore rule of more than ${maxLineBytes} bytes`);
  return lines.filter((line) => !line.startsWith("#") && line.trim() !== "");
}

function parsePattern(line: string, domain: string[]): Pattern {
  const includes = line.startsWith("!");
  let text = includes ? line.slice(1) : line;
  if (!text.endsWith("\\ ")) text = text.replace(/ +$/, "");
  const directoriesOnly = text.endsWith("/");
  if (directoriesOnly) text = text.slice(0, -1);
  const segments = text.split("/").map((segment) => ({ text: segment, glob: compileGlob(segment) }));
  return { domain, segments, includes, directoriesOnly };
}

function applies(pattern: Pattern, path: string[], isDirectory: boolean): boolean {
  const { domain, segments, directoriesOnly } = pattern;
  if (path.length <= domain.length || !domain.every((name, i) => path[i] === name)) return false;
  const below = path.slice(domain.length);
  const rest = segments.length === 1 ? restAfterName(segments, below) : restAfterPath(segments, below);
  return rest !== undefined && !(directoriesOnly && !isDirectory && rest === 0);
}

type Segments = Pattern["segments"];

/** A pattern without a slash is met by the file or any directory above it. The result counts the components below. */
function restAfterName([only]: Segments, path: string[]): number | undefined {
  const at = path.findIndex((name) => only?.glob?.(name));
  return at < 0 ? undefined : path.length - at - 1;
}

/** A pattern with a slash is met from the domain's directory downwards. */
function restAfterPath(segments: Segments, path: string[]): number | undefined {
  let at = 0;
  let matched = false;
  let anyDepth = false;
  for (const [i, { text, glob }] of segments.entries()) {
    if (text === "**") {
      if (i === segments.length - 1) break;
      anyDepth = true;
    } else if (text === "")
      anyDepth = false; // the slash in front, or two of them
    else {
      if (!glob || text.includes("**")) return undefined;
      if (anyDepth) while (at < path.length - 1 && !glob(path[at] ?? "")) at++;
      const name = path[at++];
      if (name === undefined || !glob(name)) return undefined;
      matched = true;
      anyDepth = false;
    }
  }
  return matched ? path.length - at : undefined;
}
