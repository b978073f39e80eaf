import { annotations } from "#protocol/api/annotations.ts";
import type { Cluster, ObjectName } from "../cluster.ts";
import type { Action, Call } from "../command.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { selectOne, type ResourceKind } from "../resources.ts";
import { outcomeOf, viewOf, type ObjectView } from "../view.ts";
import { timeoutOf, untilReady } from "../wait.ts";

/** Sets `spec.suspend`. */
export const suspend: Action = (call) =>
  each(call, "suspend", async (kind, name, cluster) => {
    call.shell.say(`► suspending ${kind.kind} ${name.name} in ${name.namespace} namespace`);
    const object = await change(kind, name, cluster, true);
    call.shell.say(`✔ ${kind.kind} suspended`);
    return viewOf(kind, object);
  });

/** Clears `spec.suspend` and waits, as `flux resume` does (flux.md 5.2). */
export const resume: Action = (call) => {
  const timeoutMs = timeoutOf(call.options.timeout);
  return each(call, "resume", async (kind, name, cluster) => {
    const { shell } = call;
    shell.say(`► resuming ${kind.kind} ${name.name} in ${name.namespace} namespace`);
    const { metadata } = await change(kind, name, cluster, false);
    shell.say(`✔ ${kind.kind} resumed`);
    shell.say(`◎ waiting for ${kind.kind} reconciliation`);
    const answers = (object: { metadata: { generation?: number } }) =>
      (object.metadata.generation ?? 0) >= (metadata.generation ?? 0);
    const after = await untilReady(cluster, shell, { kind, name, timeoutMs, answers });
    shell.say(`✔ ${kind.kind} reconciliation completed`);
    shell.say(`✔ ${outcomeOf(kind, after)}`);
    return viewOf(kind, after);
  });
};

async function change(kind: ResourceKind, name: ObjectName, cluster: Cluster, suspended: boolean) {
  if (!(await cluster.get(kind, name)))
    throw new Failure(
      `${kind.kind} '${name.name}' not found in namespace ${name.namespace}: "flotilla get ${kind.plural} -A" shows all`,
    );
  return cluster.patch(kind, name, { spec: { suspend: suspended } });
}

async function each(
  { words, options, shell }: Call,
  verb: string,
  act: (kind: ResourceKind, name: ObjectName, cluster: Cluster) => Promise<ObjectView>,
): Promise<number> {
  const { kind, names } = selectOne(words, `${verb} <kind> <name>`);
  if (kind.kind === "ArtifactGenerator") throw new Misuse(`an ArtifactGenerator rests by its annotation: kubectl annotate ag NAME ${annotations.generator}=disabled`);
  const namespace = namespaceOf(options, shell);
  const cluster = await shell.openCluster(options);
  try {
    const views: ObjectView[] = [];
    for (const name of new Set(names)) views.push(await act(kind, { namespace, name }, cluster));
    if (options.json) shell.print(`${JSON.stringify(views, null, 2)}\n`);
    return exitCodes.ok;
  } finally {
    await cluster.close();
  }
}
