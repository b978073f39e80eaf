import type { FluxObject } from "../cluster.ts";
import type { Action } from "../command.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { checkName, select, type ResourceKind } from "../resources.ts";
import { table } from "../table.ts";
import { columnsOf, shortRevision, viewOf } from "../view.ts";

/** Lists objects with the columns of `flux get`. */
export const get: Action = async ({ words, options, shell }) => {
  const { kinds, names } = select(words);
  for (const name of names) checkName(name);
  if (kinds.length !== 1 && names.length > 0)
    throw new Misuse(`names go with one kind: flotilla get ${kinds[0]!.plural} ${names.join(" ")}`);
  const namespace = options.allNamespaces ? undefined : namespaceOf(options, shell);
  const cluster = await shell.openCluster(options);
  try {
    const found: { kind: ResourceKind; objects: FluxObject[] }[] = [];
    for (const kind of kinds) {
      const objects = await cluster.list(kind, namespace);
      if (!objects && kinds.length === 1)
        throw new Failure(`the cluster does not know the kind ${kind.kind}: "flotilla up" installs it`);
      if (!objects) continue; // of several kinds, those that are there
      found.push({
        kind,
        objects: names.length === 0 ? objects : objects.filter(({ metadata }) => names.includes(metadata.name)),
      });
    }
    const views = found.flatMap(({ kind, objects }) => objects.map((object) => viewOf(kind, object)));
    if (options.json) shell.print(`${JSON.stringify(views, null, 2)}\n`);
    else
      shell.print(
        found
          .filter(({ objects }) => objects.length > 0)
          .map((each) => section(each, kinds.length > 1, namespace === undefined))
          .join("\n"),
      );
    return complain() ? exitCodes.failed : exitCodes.ok;

    /** A name that is not there is a failure; an empty list is one unless everything was asked for, as with Flux. */
    function complain(): boolean {
      const where = namespace === undefined ? "any namespace" : `namespace ${namespace}`;
      const missing = names.filter((name) => !views.some((view) => view.name === name));
      for (const name of missing)
        shell.say(
          `✗ ${kinds[0]!.kind} '${name}' not found in ${where}: "flotilla get ${kinds[0]!.plural} -A" shows all`,
        );
      const none = kinds.length === 1 && names.length === 0 && views.length === 0;
      if (none) shell.say(`✗ no ${kinds[0]!.kind} objects found in ${where}`);
      return missing.length > 0 || none;
    }
  } finally {
    await cluster.close();
  }
};

function section(
  { kind, objects }: { kind: ResourceKind; objects: FluxObject[] },
  withKind: boolean,
  withNamespace: boolean,
): string {
  const columns = columnsOf(kind);
  const rows = objects.map((object) => {
    const view = viewOf(kind, object);
    const { namespace, name, ready, message } = view;
    const shown = [
      withKind ? `${kind.kind.toLowerCase()}/${name}` : name,
      ...Object.values(columns).map((column) => column(object, view)),
      ready,
      shortRevision(message),
    ];
    return withNamespace ? [namespace, ...shown] : shown;
  });
  return table([...(withNamespace ? ["namespace"] : []), "name", ...Object.keys(columns), "ready", "message"], rows);
}
