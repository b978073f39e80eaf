/** Who may go on, who has to wait, and for whom: Flux's rule for `spec.dependsOn`, cycles, and the order of deletion. */

/** What is known of a unit that another one depends on. */
export type UnitReadiness = {
  generation: number;
  observedGeneration: number;
  /** Its condition Ready is True. */
  ready: boolean;
  lastAppliedRevision: string;
  /** Actor id of its source. */
  source: string;
};

/** What came of `readyExpr`; undefined: there is none. */
export type Expression = { holds: boolean; /** The gate AdditiveCELDependencyCheck: it narrows the rule instead of replacing it. */ additive: boolean } | undefined;

/**
 * Why a unit has to wait for another one, in Flux's words (kustomize-controller, checkDependencies); undefined: it need not.
 *
 * @param name `namespace/name`
 * @param resource `<plural>.<group>`
 * @param dependency undefined: there is no such object
 * @param own source and revision of the unit that asks
 */
export function whyUnitNotReady(
  name: string, resource: string, dependency: UnitReadiness | undefined, own: { source: string; revision: string }, expression: Expression,
): string | undefined {
  if (!dependency) return notFound(name, resource);
  const verdict = whyExpression(name, expression);
  if (verdict !== undefined || isEnough(expression)) return verdict;
  if (!dependency.ready || dependency.generation !== dependency.observedGeneration) return `dependency '${name}' is not ready`;
  // Else the two would be of different revisions of what belongs together.
  if (dependency.source === own.source && dependency.lastAppliedRevision !== own.revision) return `dependency '${name}' revision is not up to date`;
  return undefined;
}

/** The same for an object of any other kind: kstatus tells whether it is ready. */
export function whyObjectNotReady(
  name: string, resource: string, health: { status: string; message: string } | undefined, expression: Expression,
): string | undefined {
  if (!health) return notFound(name, resource);
  const verdict = whyExpression(name, expression);
  if (verdict !== undefined || isEnough(expression) || health.status === "Current") return verdict;
  return `dependency '${name}' is not ready${health.message ? `: ${health.message}` : ""}`;
}

const isEnough = (expression: Expression) => expression !== undefined && !expression.additive;

const whyExpression = (name: string, expression: Expression) =>
  expression?.holds === false ? `dependency '${name}' is not ready according to readyExpr eval` : undefined;

const notFound = (name: string, resource: string) => `dependency '${name}' not found: ${resource} "${name.slice(name.indexOf("/") + 1)}" not found`;

/** Whom each unit depends on, by id. */
export type Edges = (id: string) => readonly string[];

/**
 * The shortest cycle through a unit, beginning with the member that sorts first, so that all its members name it alike;
 * undefined when it is in none.
 */
export function cycleThrough(id: string, dependenciesOf: Edges): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const line = [id];
  for (const at of line)
    for (const next of dependenciesOf(at)) {
      if (next === id) return rotated(wayBack(at, cameFrom));
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, at);
      line.push(next);
    }
  return undefined;
}

function wayBack(last: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const way = [last];
  for (let at = cameFrom.get(last); at !== undefined; at = cameFrom.get(at)) way.unshift(at);
  return way;
}

function rotated(cycle: string[]): string[] {
  const first = cycle.indexOf(cycle.reduce((least, each) => (each < least ? each : least)));
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}

/** `a → b → a`. @param name how a member is shown */
export const shownCycle = (cycle: string[], name: (id: string) => string): string => [...cycle, ...cycle.slice(0, 1)].map(name).join(" → ");

/**
 * Units that are being deleted and have to go before this one, because they depend on it. One that this one depends on as
 * well is in a cycle with it, and there is no order between the two.
 *
 * @param deleting units that are being deleted
 */
export function goFirst(id: string, deleting: Iterable<string>, dependenciesOf: Edges): string[] {
  const below = reachable(id, dependenciesOf);
  return [...deleting].filter((each) => each !== id && !below.has(each) && dependenciesOf(each).includes(id));
}

function reachable(id: string, dependenciesOf: Edges): Set<string> {
  const seen = new Set<string>();
  const line = [id];
  for (const at of line)
    for (const next of dependenciesOf(at)) {
      if (seen.has(next)) continue;
      seen.add(next);
      line.push(next);
    }
  return seen;
}
