import { annotations } from "#protocol/api/annotations.ts";
import { sourceRefOf, valuesSourcesIn, type Cluster, type FluxObject, type ObjectName } from "../cluster.ts";
import type { Action } from "../command.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { resourceKinds, selectOne, type ResourceKind } from "../resources.ts";
import type { Shell } from "../shell.ts";
import { outcomeOf, viewOf, type ObjectView } from "../view.ts";
import { timeoutOf, untilReady } from "../wait.ts";

type Work = { cluster: Cluster; shell: Shell; timeoutMs: number };

/** Asks for a reconcile by annotation, as `flux reconcile` does, and waits until it is handled (flux.md 5.2). */
export const reconcile: Action = async ({ words, options, shell }) => {
  const { kind, names } = selectOne(words, "reconcile <kind> <name>");
  if (options.withSource && !kind.hasSource) throw new Misuse("--with-source is for kustomizations and charts: this source is made from no other");
  for (const flag of ["force", "reset"] as const)
    if (options[flag] && kind.kind !== "HelmRelease") throw new Misuse(`--${flag} is for helmreleases`);
  const asked = [...(options.force ? [annotations.forceAt] : []), ...(options.reset ? [annotations.resetAt] : [])];
  const namespace = namespaceOf(options, shell);
  const timeoutMs = timeoutOf(options.timeout);
  const cluster = await shell.openCluster(options);
  try {
    const views: ObjectView[] = [];
    for (const name of new Set(names)) {
      const work = { cluster, shell, timeoutMs };
      if (options.withSource) await reconcileSources(kind, { namespace, name }, work);
      views.push(await reconcileOne(kind, { namespace, name }, work, asked));
    }
    if (options.json) shell.print(`${JSON.stringify(views, null, 2)}\n`);
    return exitCodes.ok;
  } finally {
    await cluster.close();
  }
};

/** Its source; and those that files of a release's values are in, where they are not somebody else's. */
async function reconcileSources(kind: ResourceKind, name: ObjectName, work: Work): Promise<void> {
  const object = await existing(kind, name, work.cluster);
  await reconcileSource(kind, name, object, work);
  const done = new Set<string>();
  for (const { kind: of, name: called, namespace = name.namespace, optional } of valuesSourcesIn(object)) {
    const source = resourceKinds.find((each) => each.kind === of && each.isSource && !each.isForeign);
    const key = { namespace, name: called ?? "" };
    const id = `${of}/${namespace}/${called}`;
    if (!source || done.has(id) || (optional && !(await work.cluster.get(source, key)))) continue;
    done.add(id);
    await reconcileOne(source, key, work);
  }
}

async function reconcileSource(kind: ResourceKind, name: ObjectName, object: FluxObject, work: Work): Promise<void> {
  const ref = sourceRefOf(object);
  const source = resourceKinds.find((each) => each.kind === ref?.kind && each.isSource && !each.isForeign);
  if (!source || !ref?.name)
    throw new Failure(
      `${kind.kind} '${name.name}' has a source of kind ${ref?.kind ?? "unknown"}: reconcile it without --with-source`,
    );
  await reconcileOne(source, { namespace: ref.namespace ?? name.namespace, name: ref.name }, work);
}

async function reconcileOne(
  kind: ResourceKind,
  name: ObjectName,
  { cluster, shell, timeoutMs }: Work,
  asked: readonly string[] = [],
): Promise<ObjectView> {
  const before = await existing(kind, name, cluster);
  if (before.spec?.suspend) throw new Failure(`${kind.kind} '${name.name}' is suspended: resume it first`);
  if (kind.staticMessage(before.spec) !== undefined) {
    shell.say(`✔ reconciliation is not needed: ${kind.kind} '${name.name}' only says where charts are`);
    return viewOf(kind, before);
  }
  shell.say(`► annotating ${kind.kind} ${name.name} in ${name.namespace} namespace`);
  const now = rfc3339Nano(shell.nowMs());
  // The others count only where they are equal to the request (flux.md 0.4).
  await cluster.patch(kind, name, {
    metadata: { annotations: Object.fromEntries([annotations.requestedAt, ...asked].map((key) => [key, now])) },
  });
  shell.say(`✔ ${kind.kind} annotated`);
  shell.say(`◎ waiting for ${kind.kind} reconciliation`);
  const handledBefore = before.status?.lastHandledReconcileAt;
  const answers = ({ status }: FluxObject) => (status?.lastHandledReconcileAt ?? "") !== (handledBefore ?? "");
  const after = await untilReady(cluster, shell, { kind, name, timeoutMs, answers });
  shell.say(`✔ ${outcomeOf(kind, after)}`);
  return viewOf(kind, after);
}

async function existing(kind: ResourceKind, name: ObjectName, cluster: Cluster): Promise<FluxObject> {
  const object = await cluster.get(kind, name);
  if (object) return object;
  throw new Failure(
    `${kind.kind} '${name.name}' not found in namespace ${name.namespace}: "flotilla get ${kind.plural} -A" shows all`,
  );
}

let spread = 0;

/** Nanoseconds count requests made within one millisecond, so that no two are alike. */
const rfc3339Nano = (ms: number): string =>
  `${new Date(ms).toISOString().slice(0, -1)}${String(spread++ % 1_000_000).padStart(6, "0")}Z`;
