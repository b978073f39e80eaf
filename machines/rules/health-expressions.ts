/** The health of objects that spec.healthCheckExprs judges, in Flux's order (fluxcd/pkg runtime/cel; flux.md 2.6.6). */
import { inProgress, recordOf, statusOf, unknown, type Health } from "./health-reading.ts";
import { groupOf, type KubeObject } from "./inventory.ts";

export type HealthExpression = {
  apiVersion: string;
  kind?: string | undefined;
  current: string;
  inProgress?: string | undefined;
  failed?: string | undefined;
};

/** What an expression gave, as CEL says it. */
export type Answer = { value: unknown } | { error: string };

type Verdict = { name: string; status: "InProgress" | "Failed" | "Current"; expression: string };

/** The expressions of an entry in the order in which they count: the first that is true decides. */
export const verdictsOf = ({ inProgress: going, failed, current }: HealthExpression): Verdict[] => [
  ...(going ? [{ name: "InProgress", status: "InProgress", expression: going } as const] : []),
  ...(failed ? [{ name: "Failed", status: "Failed", expression: failed } as const] : []),
  { name: "Current", status: "Current", expression: current },
];

/** The entry for a kind; one for the very kind goes before one for its whole group. The version counts for nothing. */
export function expressionFor(entries: readonly HealthExpression[], group: string, kind: string): HealthExpression | undefined {
  const ofGroup = entries.filter(({ apiVersion }) => groupOf(apiVersion) === group);
  return ofGroup.find((entry) => entry.kind === kind) ?? ofGroup.find((entry) => !entry.kind);
}

/** The first entry that is for the same kind, or whole group, as one before it. */
export function secondOf(entries: readonly HealthExpression[]): { index: number; kind: string } | undefined {
  const seen = new Set<string>();
  for (const [index, { apiVersion, kind = "" }] of entries.entries()) {
    const name = `${kind}.${groupOf(apiVersion)}`;
    if (seen.has(name)) return { index, kind: name };
    seen.add(name);
  }
  return undefined;
}

/** Its controller has not seen the present generation: no expression is asked. A generation that is no number says nothing. */
export function isUnobserved(object: KubeObject): boolean {
  const { generation } = recordOf(object.metadata);
  const { observedGeneration: observed } = statusOf(object);
  return Number.isInteger(generation) && Number.isInteger(observed) && observed !== generation;
}

export const unobserved = inProgress("its controller has not seen the latest generation");

/** @param answers one for each of `verdictsOf` */
export function judged(entry: HealthExpression, answers: readonly Answer[]): Health {
  for (const [i, { name, status, expression }] of verdictsOf(entry).entries()) {
    const answer = answers[i];
    if (!answer) break;
    if ("error" in answer) return unknown(`failed to evaluate the CEL expression '${expression}': ${answer.error}`);
    if (typeof answer.value !== "boolean") return unknown(`failed to evaluate CEL expression as boolean: '${expression}'`);
    if (answer.value) return { status, message: `expression ${name} is true` };
  }
  return inProgress("none of the expressions is true");
}
