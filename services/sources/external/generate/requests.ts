/** Which artifacts are to be made: those that are named, or one of each for every directory that a pattern finds. */
import type { ArtifactGeneratorSpec, OutputArtifact } from "#protocol/api/artifact-generator.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Files } from "./copy.ts";

/** `labels`: what the pattern has captured, in lower case. */
export type ArtifactRequest = OutputArtifact & { labels: Record<string, string> };

const mostArtifacts = 1_000;
const objectName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export const isObjectName = (name: string): boolean => name.length <= 253 && objectName.test(name);

/** @throws Fault PathPatternInvalid, SourceTooLarge */
export function requestsOf({ artifacts, pathPattern }: Pick<ArtifactGeneratorSpec, "artifacts" | "pathPattern">, sources: ReadonlyMap<string, Files>, shown: string): ArtifactRequest[] {
  if (!pathPattern) return artifacts.map((artifact) => ({ ...artifact, labels: {} }));
  const invalid = (detail: string) => new Fault("PathPatternInvalid", shown, { detail });
  const [, alias = "", pattern = ""] = /^@([^/]+)\/([^]*)$/.exec(pathPattern) ?? [];
  const source = sources.get(alias);
  if (!source) throw invalid(`there is no source with the alias ${JSON.stringify(alias)}`);
  const matches = matcherOf(pattern, invalid);
  const requests = new Map<string, { directory: string; request: ArtifactRequest }>();
  for (const directory of [...source.directories].sort()) {
    const captured = matches(directory);
    if (!captured) continue;
    const lower = Object.fromEntries(Object.entries(captured).map(([name, value]) => [name, value.toLowerCase()]));
    for (const [name, value] of Object.entries(lower))
      if (!/^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/.test(value) || value.length > 63) throw invalid(`${JSON.stringify(value.slice(0, 100))}, found for {${name}}, is not the value of a label`);
    for (const artifact of artifacts) {
      const name = rendered(artifact.name, lower, invalid);
      if (!isObjectName(name)) throw invalid(`${JSON.stringify(name.slice(0, 100))} is not the name of an object`);
      const before = requests.get(name);
      if (before) throw invalid(`${JSON.stringify(before.directory)} and ${JSON.stringify(directory)} both give an artifact of the name ${name}`);
      const copy = artifact.copy.map((each) => ({ ...each, from: rendered(each.from, captured, invalid), to: rendered(each.to, captured, invalid) }));
      requests.set(name, { directory, request: { ...artifact, name, copy, labels: lower } });
      if (requests.size > mostArtifacts) throw new Fault("SourceTooLarge", shown, { detail: `the pattern finds more than ${mostArtifacts} artifacts` });
    }
  }
  return [...requests.values()].map(({ request }) => request);
}

type Invalid = (detail: string) => Fault;

/** `apps/{app}`: each capture stands for something within one directory's name. */
function matcherOf(pattern: string, invalid: Invalid): (path: string) => Record<string, string> | undefined {
  const names: string[] = [];
  const parts = piecesOf(pattern, invalid).map((piece) => {
    if ("text" in piece) return RegExp.escape(piece.text);
    if (names.includes(piece.name)) throw invalid(`{${piece.name}} stands in the pattern twice`);
    if (piece.name.length > 63 || piece.name.startsWith("_") || piece.name.endsWith("_")) throw invalid(`{${piece.name}} is not the key of a label`);
    names.push(piece.name);
    return "([^/]+)";
  });
  // Captures beside each other in one name could be tried in very many ways.
  if (parts.some((part, at) => part === "([^/]+)" && parts[at + 1] === part)) throw invalid("two captures stand beside each other");
  const whole = new RegExp(`^${parts.join("")}$`);
  return (path) => {
    const found = whole.exec(path);
    return found ? Object.fromEntries(names.map((name, at) => [name, found[at + 1] ?? ""])) : undefined;
  };
}

const rendered = (text: string, values: Record<string, string>, invalid: Invalid): string =>
  piecesOf(text, invalid).map((piece) => {
    if ("text" in piece) return piece.text;
    if (!Object.hasOwn(values, piece.name)) throw invalid(`{${piece.name}} is not in spec.pathPattern`);
    return values[piece.name] ?? "";
  }).join("");

function piecesOf(text: string, invalid: Invalid): ({ text: string } | { name: string })[] {
  return text.split(/(\{[^{}]*\})/).filter((piece) => piece !== "").map((piece) => {
    if (!piece.startsWith("{")) {
      if (/[{}]/.test(piece)) throw invalid(`a brace of ${JSON.stringify(text.slice(0, 200))} has no other`);
      return { text: piece };
    }
    const name = piece.slice(1, -1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid(`{${name.slice(0, 100)}} is not the name of a capture`);
    return { name };
  });
}
