import { pointerOf, type FieldDifference } from "#machines/rules/difference.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { Foreseen } from "#services/cluster/foresee.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import { listed } from "#services/worker/effects/unit-object.ts";
import type { Cluster } from "../cluster.ts";
import type { Action, Call } from "../command.ts";
import { exitCodes, Failure, Misuse, sentenceOf } from "../failure.ts";
import { build, keyOf } from "../local/build.ts";
import { buildRelease, namesRelease, releaseKeyOf } from "../local/release.ts";
import { eachLeaf, isHidden, shownValue } from "../local/mask.ts";

/** Flux's: 1 says that something differs. */
class NotCompared extends Failure {
  override readonly exitCode = 2;
}

/** Shows what applying a directory on this machine, or a release's next revision, would change; nothing is written. */
export const diff: Action = async (call) => {
  const isRelease = namesRelease(call.words);
  if (isRelease) releaseKeyOf(call);
  else keyOf(call);
  try {
    return await compared(call, isRelease ? release : kustomization);
  } catch (thrown) {
    if (thrown instanceof Misuse) throw thrown;
    throw new NotCompared(sentenceOf(thrown), { cause: thrown });
  }
};

type Compared = { found: Foreseen[]; confidential: readonly string[] };

const elsewhere = "spec.kubeConfig names another cluster, which is not compared with: flotilla build shows what goes there";

async function kustomization(call: Call, cluster: Cluster, signal: AbortSignal): Promise<Compared> {
  const { key, unit: { spec, live }, objects, confidential } = await build(call, cluster, signal);
  if (spec.kubeConfig) throw new Failure(elsewhere);
  const owner = { namespace: key.namespace, name: key.name };
  return { found: await cluster.foresee({ owner, objects, inventory: live ? listed(live) : [], prune: spec.prune, force: spec.force === true, ignore: spec.ignore, signal }), confidential };
}

async function release(call: Call, cluster: Cluster, signal: AbortSignal): Promise<Compared> {
  const { release: { spec }, next, deployed, confidential } = await buildRelease(call, cluster, signal);
  if (spec.kubeConfig) throw new Failure(elsewhere);
  return { found: await cluster.foreseeRelease({ ...next, deployed, signal }), confidential };
}

async function compared(call: Call, find: typeof release): Promise<number> {
  const { options, shell } = call;
  const cluster = await shell.openCluster(options);
  try {
    const { found, confidential } = await find(call, cluster, new AbortController().signal);
    const shown = found.flatMap((one) => shownOf(one, confidential));
    const failures = found.flatMap((one) => (one.action === "failed" ? [String(shownValue(sentenceOf(one.fault), confidential))] : []));
    if (options.json) shell.print(`${JSON.stringify({ differences: shown, failures }, null, 2)}\n`);
    else shell.print(shown.map((one) => textOf(one, shell.unicode)).join(""));
    for (const failure of failures) shell.say(`✗ ${failure}`);
    if (failures.length > 0) return 2;
    if (shown.length > 0) return 1;
    if (!options.json) shell.say("nothing differs");
    return exitCodes.ok;
  } finally {
    await cluster.close();
  }
}

type Field = { path: string; before?: unknown; after?: unknown };
type Shown = { object: string; id: string; action: "created" | "changed" | "recreated" | "deleted"; fields?: Field[] };

function shownOf(one: Foreseen, confidential: readonly string[]): Shown[] {
  const { id, action } = one;
  const object = displayName(parseInventoryId(id));
  if (action === "changed") return [{ object, id, action, fields: one.fields.map((field) => fieldOf(field, one, confidential)) }];
  return action === "created" || action === "recreated" || action === "deleted" ? [{ object, id, action }] : [];
}

/** Of a hidden value only that it differs; what comes or goes as a whole may hold some. */
function fieldOf({ path, is, wanted }: FieldDifference, { object, secret }: Extract<Foreseen, { fields: FieldDifference[] }>, confidential: readonly string[]): Field {
  const shown = (side: "before" | "after", value: unknown) =>
    value !== undefined && { [side]: eachLeaf(value, path, (at, leaf) => (isHidden(at, object, secret) ? `***** (${side})` : shownValue(leaf, confidential))) };
  return { path: String(shownValue(pointerOf(path), confidential)), ...shown("before", is), ...shown("after", wanted) };
}

function textOf({ object, action, fields = [] }: Shown, unicode: boolean): string {
  const arrow = unicode ? "→" : "->";
  const lines = fields.flatMap(({ path, before, after }) => {
    if (isLong(before) && isLong(after)) return [`${printable(path)}:`, ...linesOf(before, after).map((line) => `  ${line}`)];
    return [`${printable(path)}: ${valueOf(before)} ${arrow} ${valueOf(after)}`];
  });
  return [`${unicode ? "►" : ">"} ${printable(object)} ${action}`, ...lines.map((line) => `    ${line}`)].map((line) => `${line}\n`).join("");
}

const valueOf = (value: unknown): string => (value === undefined ? "(none)" : printable(JSON.stringify(value)));
const isLong = (value: unknown): value is string => typeof value === "string" && value.trimEnd().includes("\n");

/** What stands between the common beginning and the common end. */
function linesOf(before: string, after: string): string[] {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const between = (lines: string[], sign: string) => lines.slice(start, lines.length - end).map((line) => `${sign} ${printable(line)}`);
  return [...between(a, "-"), ...between(b, "+")];
}
