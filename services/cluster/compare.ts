/** In what applied objects are not as an apply would leave them: asked by reading and by dry-run, and never written. */
import { fieldDifferences, surplus, told, type FieldDifference } from "#machines/rules/difference.ts";
import { legacyKeys, takenFields } from "#machines/rules/takeover.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { Fault, isPassing } from "#protocol/errors/fault.ts";
import { ownershipOf } from "#machines/rules/drift.ts";
import type { Difference, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { prepare, type Prepared } from "./apply.ts";
import { preview, type ApplyItem, type ObjectCall } from "./apply-object.ts";
import { applierOf, type ClusterHandle } from "./handle.ts";
import { isSecret } from "./refusal.ts";

export type CompareCall = Prepared & {
  signal: AbortSignal;
  /** Takes known secrets out of a text. */
  redact(text: string): string;
  /** Live objects that nothing is told of. */
  spares?: (live: KubeObject["metadata"]) => boolean;
  /** An object of which nothing is to be told, as a watch compares with it from now on. */
  stands?: (entry: Omit<InventoryEntry, "digest">) => void;
};

/** Of what drifted, or with scope `all` of everything. @throws Fault when the cluster cannot be asked */
export async function compare(call: CompareCall): Promise<Difference[]> {
  const { plan } = await prepare(call);
  const items = plan.touch.filter(({ id }) => call.scope === "all" || call.drifted?.has(id));
  const found = await Promise.all(items.map((item) => differenceOf(call, item)));
  return found.filter((each) => each !== undefined);
}

async function differenceOf(call: CompareCall, item: ApplyItem): Promise<Difference | undefined> {
  if (item.ignored?.some((pointer) => pointer.length === 0)) return undefined;
  const by = call.drifted?.get(item.id);
  try {
    const { before, after } = await preview(objectCallOf(call), item);
    if (!before) return { id: item.id, missing: true, fields: [] };
    const fields = after && !call.spares?.(before.metadata) ? previewedFields(call.cluster, item, before, after) : [];
    if (fields.length === 0) {
      const { cluster } = call;
      const owned = ownershipOf(before.metadata, cluster.settings?.overriddenManagers, applierOf(cluster));
      call.stands?.({ id: item.id, v: item.v, uid: before.metadata.uid ?? "", owned });
      return undefined;
    }
    return told(item.id, before, fields, { secret: item.secret === true || isSecret(item.payload), redact: call.redact, manager: applierOf(call.cluster).manager });
  } catch (thrown) {
    const { code, detail = code } = Fault.from(thrown, item.id);
    if (isPassing(code) || code === "LeaseLost" || call.signal.aborted) throw thrown;
    return { id: item.id, ...(by && { by }), fields: [], refused: call.redact(detail).slice(0, 200) };
  }
}

/** In what fields an apply would change an object, those included that it takes from others first. */
export function previewedFields(cluster: ClusterHandle, item: ApplyItem, before: KubeObject, after: KubeObject): FieldDifference[] {
  const changed = fieldDifferences(before, after);
  // A dry-run leaves these in place; an apply takes them over first.
  const added = surplus(takenFields(before.metadata, cluster.settings?.overriddenManagers, applierOf(cluster)), before, item.payload);
  return [...changed, ...added.filter(({ path }) => !isLegacy(path) && !isIgnored(item, path))];
}

const isLegacy = ([top, field, key = ""]: string[]): boolean =>
  top === "metadata" && [...legacyKeys.annotations, ...legacyKeys.labels].includes(key as never) && (field === "annotations" || field === "labels");

const isIgnored = ({ ignored = [] }: ApplyItem, path: string[]): boolean => ignored.some((pointer) => pointer.every((part, place) => path[place] === part));

const objectCallOf = ({ cluster, signal, stamp }: CompareCall): ObjectCall => ({
  cluster, signal, stamp, force: false, fresh: new Set(), known: () => undefined, traceparent: () => undefined,
  guard: () => { throw new TypeError("a comparison writes nothing"); },
});
