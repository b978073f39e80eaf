import { annotations } from "#protocol/api/annotations.ts";
import type { Cluster, FluxObject, ObjectName } from "../cluster.ts";
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
  if (options.withSource && kind.isSource) throw new Misuse("--with-source is for kustomizations: a source has none");
  const namespace = namespaceOf(options, shell);
  const timeoutMs = timeoutOf(options.timeout);
  const cluster = await shell.openCluster(options);
  try {
    const views: ObjectView[] = [];
    for (const name of new Set(names)) {
      const work = { cluster, shell, timeoutMs };
      if (options.withSource) await reconcileSource(kind, { namespace, name }, work);
      views.push(await reconcileOne(kind, { namespace, name }, work));
    }
    if (options.json) shell.print(`${JSON.stringify(views, null, 2)}\n`);
    return exitCodes.ok;
  } finally {
    await cluster.close();
  }
};

async function reconcileSource(kind: ResourceKind, name: ObjectName, work: Work): Promise<void> {
  const ref = (await existing(kind, name, work.cluster)).spec?.sourceRef;
  const source = resourceKinds.find((each) => each.kind === ref?.kind && each.isSource);
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
): Promise<ObjectView> {
  const before = await existing(kind, name, cluster);
  if (before.spec?.suspend) throw new Failure(`${kind.kind} '${name.name}' is suspended: resume it first`);
  shell.say(`► annotating ${kind.kind} ${name.name} in ${name.namespace} namespace`);
  await cluster.patch(kind, name, {
    metadata: { annotations: { [annotations.requestedAt]: rfc3339Nano(shell.nowMs()) } },
  });
  shell.say(`✔ ${kind.kind} annotated`);
  shell.say(`◎ waiting for ${kind.kind} reconciliation`);
  const handledBefore = before.status?.lastHandledReconcileAt;
  const answers = ({ status }: FluxObject) => (status?.lastHandledReconcileAt ?? "") !== (handledBefore ?? "");
  const view = viewOf(kind, await untilReady(cluster, shell, { kind, name, timeoutMs, answers }));
  shell.say(`✔ ${outcomeOf(kind, view)}`);
  return view;
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
