import { printable } from "#services/telemetry/waterfall/format.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { FluxObject } from "../cluster.ts";
import type { Action } from "../command.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { resourceKinds, selectOne, type ResourceKind } from "../resources.ts";
import type { Shell } from "../shell.ts";
import { shortRevision } from "../view.ts";
import { causesOf, explain, isBlocked, type Finding, type Look, type State } from "../why.ts";

/** Explains what holds a unit up; the exit code says whether anything does. */
export const why: Action = async ({ words, options, shell }) => {
  const { kind, names: [name] } = selectOne(isKind(words[0]) ? words : ["kustomization", ...words], "why <unit>");
  if (kind.isSource || kind.group === "source.extensions.fluxcd.io") throw new Misuse("why is for kustomizations and releases: a source says all in flotilla get sources");
  const namespace = namespaceOf(options, shell);
  const cluster = await shell.openCluster(options);
  try {
    const get = (of: ResourceKind | undefined, key: { namespace: string; name: string }) => (of ? cluster.get(of, key) : Promise.resolve(undefined));
    const look: Look = {
      unit: remembered((key) => get(resourceKinds.find((each) => each.kind.toLowerCase() === key.kind), key)),
      source: (of, key) => get(resourceKinds.find((each) => each.kind === of && each.isSource), key),
      object: (ref) => cluster.read(ref),
      nowMs: shell.nowMs(),
    };
    const finding = await explain({ kind: kind.kind.toLowerCase(), namespace, name }, look);
    if (finding.state === "missing") throw new Failure(`${kind.kind} '${name}' not found in namespace ${namespace}: "flotilla get ${kind.plural} -A" shows all`);
    const blocked = isBlocked(finding);
    if (options.json) shell.print(`${JSON.stringify({ blocked, ...finding, causes: causesOf(finding).filter(isBlocked).map(({ object }) => object) }, null, 2)}\n`);
    else shell.print(blocked ? told(finding, shell) : `${finding.object} is ready: ${printable(shortRevision(finding.says))}\n`);
    return blocked ? exitCodes.failed : exitCodes.ok;
  } finally {
    await cluster.close();
  }
};

const isKind = (word: string | undefined): boolean => word !== undefined && (word === "source" || resourceKinds.some(({ words }) => words.includes(word.split("/")[0] ?? "")));

function remembered(ask: Look["unit"]): Look["unit"] {
  const known = new Map<string, Promise<FluxObject | undefined>>();
  return (key) => {
    const id = actorId(key);
    const answer = known.get(id) ?? ask(key);
    known.set(id, answer);
    return answer;
  };
}

const verbs: Record<State, string> = {
  ready: "is ready", waits: "waits", works: "is being worked on", fails: "fails", stalled: "is stalled", suspended: "is suspended", missing: "is missing", unseen: "was not seen yet",
};

/** First the answer, then the way there, then what to do. */
function told(finding: Finding, shell: Shell): string {
  const causes = [...new Map(causesOf(finding).filter(isBlocked).map((each) => [each.object, each])).values()];
  const itself = causes.length === 1 && causes[0] === finding;
  const [first] = causes;
  const others = causes.length > 1 ? ` (and ${causes.length - 1} more)` : "";
  const headline = itself || !first ? `${finding.object} ${verbs[finding.state]}` : `${finding.object} is blocked: ${first.object} ${verbs[first.state]}${others}`;
  const advice = causes.flatMap(({ object, todo }) => {
    const [kind = "", namespace = "", name = ""] = object.split("/");
    return [`  ${object}: ${todo ?? "look at its events"}`, `    kubectl -n ${namespace} describe ${kind.toLowerCase()} ${name}`, ...(kind === "Kustomization" || kind === "HelmRelease" ? [`    flotilla trace ${kind.toLowerCase()}/${namespace}/${name}`] : [])];
  });
  return [headline, "", ...lines(finding, shell, "", ""), "", "What to do", ...advice, ""].join("\n");
}

function lines(finding: Finding, shell: Shell, head: string, rest: string): string[] {
  const { object, state, reason, says, since, because } = finding;
  const [tee, corner, bar] = shell.unicode ? ["├─ ", "└─ ", "│  "] : ["|- ", "`- ", "|  "];
  const age = since ? ` for ${ageOf(shell.nowMs() - Date.parse(since))}` : "";
  const indent = because.length > 0 ? `${rest}${bar}` : `${rest}   `;
  return [
    `${head}${shell.unicode ? "✗" : "x"} ${object}  ${verbs[state]}${age}${reason ? `  (${printable(reason)})` : ""}`,
    ...wrapped(printable(shortRevision(says)), shell.columns - indent.length - 2).map((line) => `${indent}${line}`),
    ...because.flatMap((each, i) => {
      const last = i === because.length - 1;
      return lines(each, shell, `${rest}${last ? corner : tee}`, `${rest}${last ? "   " : bar}`);
    }),
  ];
}

function wrapped(text: string, width: number): string[] {
  const found: string[] = [];
  for (const word of text.split(/\s+/)) {
    const line = found.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= Math.max(30, width)) found[found.length - 1] = `${line} ${word}`;
    else found.push(word);
  }
  return found;
}

/** Two units at most: `3h 12m`, `45s`. */
function ageOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts: [number, string][] = [[Math.floor(seconds / 86_400), "d"], [Math.floor(seconds / 3_600) % 24, "h"], [Math.floor(seconds / 60) % 60, "m"], [seconds % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  return first < 0 ? "0s" : parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n}${unit}`).join(" ");
}
