/** spec.healthCheckExprs: checked before anything is done for the unit, and asked while its health is followed (flux.md 2.6.6). */
import { expressionFor, isUnobserved, judged, secondOf, unobserved, verdictsOf, type HealthExpression } from "#machines/rules/health-expressions.ts";
import { parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Cel } from "#services/render/cel.ts";
import type { Judge } from "../cluster-port.ts";

/** @throws Fault InvalidCELExpression in Flux's words */
export async function checkExpressions(entries: readonly HealthExpression[], cel: Pick<Cel, "compile">): Promise<void> {
  const second = secondOf(entries);
  if (second) throw invalid(`duplicate custom health check for GroupKind ${second.kind} at healthchecks[${second.index}]`);
  for (const [index, entry] of entries.entries()) {
    const at = `failed to create custom status evaluator for healthchecks[${index}]`;
    if (entry.current === "") throw invalid(`${at}: expression Current not specified`);
    for (const { name, expression } of verdictsOf(entry)) {
      const error = await cel.compile({ expression });
      if (error !== undefined) throw invalid(`${at}: failed to parse the expression ${name}: failed to parse the CEL expression '${expression}': ${error}`);
    }
  }
}

/** How an object of this inventory id is judged; undefined: by its kind. */
export function judgeOf(entries: readonly HealthExpression[], cel: Pick<Cel, "evaluateAll">): (id: string) => Judge | undefined {
  return (id) => {
    const { group, kind } = parseInventoryId(id);
    const entry = expressionFor(entries, group, kind);
    if (!entry) return undefined;
    const sources = verdictsOf(entry).map(({ expression }) => ({ expression }));
    return async (object) => (isUnobserved(object) ? unobserved : judged(entry, await cel.evaluateAll(sources, visible(object))));
  };
}

/** An answer to a question about a Secret's contents would be a part of them. */
function visible(object: KubeObject): Record<string, unknown> {
  if (object.kind !== "Secret") return object;
  const { data: _, stringData: __, ...rest } = object;
  return rest;
}

const invalid = (detail: string) => new Fault("InvalidCELExpression", "Reconciliation failed terminally due to configuration error", { detail });
