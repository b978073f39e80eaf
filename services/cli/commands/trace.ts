import type { TraceEntry } from "#protocol/trace/span.ts";
import { isCommitPrefix } from "#protocol/trace/subject.ts";
import { waterfall } from "#services/telemetry/waterfall.ts";
import { duration } from "#services/telemetry/waterfall/format.ts";
import type { Api } from "../api.ts";
import type { Action, Call } from "../command.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { checkName, select } from "../resources.ts";
import { table } from "../table.ts";

/** Draws the trace of a commit, or the latest of a unit. */
export const trace: Action = async (call) => {
  const { words, options, shell } = call;
  const [word, ...more] = words;
  if (more.length > 0) throw new Misuse("one commit or one unit: flotilla trace kustomization/apps/podinfo");
  const wanted = word === undefined ? undefined : wantedOf(word, call);
  const api = await shell.openApi(options);
  if (!wanted) return list(await api.recentTraces(), call);

  const found = await tracesOf(wanted, api);
  if (wanted.commit && new Set(found.map(({ traceId }) => traceId)).size > 1) {
    list(found, call);
    throw new Failure(`${word} is in ${found.length} traces: give more of its digits, or a unit`);
  }
  const [newest] = found;
  if (!newest) throw new Failure(`no trace of ${word}: it is shown once its first step has ended, and kept for a week`);
  const spans = await api.spans(newest.traceId);
  if (options.json) shell.print(`${JSON.stringify({ traceId: newest.traceId, spans }, null, 2)}\n`);
  else shell.print(waterfall(spans, { width: shell.columns, colour: shell.colour, ascii: !shell.unicode }));
  return exitCodes.ok;
};

type Wanted = { commit?: string; unit?: string };

/** A commit (`4c1d9e2`, `main@sha1:4c1d9e2…`) or a unit (`ks/podinfo`, `kustomization/apps/podinfo`). */
function wantedOf(word: string, { options, shell }: Call): Wanted {
  const digits = word.toLowerCase().replace(/^.*@?sha(1|256):/, "");
  if (isCommitPrefix(digits)) return { commit: digits };
  const parts = word.split("/");
  const [kindWord, name] = [parts[0]!, parts.at(-1)!];
  if (parts.length < 2 || parts.length > 3)
    throw new Misuse(`"${word}" is neither a commit (4 hex digits or more) nor a unit (kind/namespace/name)`);
  const { kind } = select([kindWord]).kinds[0]!;
  const namespace = parts.length === 3 ? parts[1]! : namespaceOf(options, shell);
  for (const each of [namespace, name]) checkName(each);
  return { unit: `${kind.toLowerCase()}/${namespace}/${name}` };
}

const tracesOf = ({ commit, unit }: Wanted, api: Api): Promise<TraceEntry[]> =>
  commit ? api.tracesOfCommit(commit) : api.tracesOfUnit(unit!);

function list(entries: TraceEntry[], { options, shell }: Call): number {
  if (options.json) shell.print(`${JSON.stringify(entries, null, 2)}\n`);
  else if (entries.length === 0) shell.say("no changes yet: traces are kept for a week");
  else
    shell.print(
      table(
        ["commit", "age", "repository", "title"],
        entries.map((entry) => rowOf(entry, shell.nowMs())),
      ),
    );
  return exitCodes.ok;
}

const rowOf = ({ commit = "", atMs, url = "", title = "" }: TraceEntry, nowMs: number): string[] => [
  commit.slice(0, 7),
  duration(Math.max(nowMs - atMs, 0)),
  url,
  title,
];
