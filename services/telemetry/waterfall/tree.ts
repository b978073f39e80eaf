/** Spans as a tree. A parent that has not finished yet is not stored yet: its children are shown under a stand-in. */
import { attribute } from "#protocol/trace/attributes.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";

export type Branch = {
  span: StoredSpan;
  children: Branch[];
  /** A stand-in for a span that is not stored: still running, or lost. */
  open: boolean;
  /** Last end within the branch: children of a change outlive the span that started it. */
  endMs: number;
};

export function treeOf(spans: StoredSpan[]): Branch[] {
  const branches = new Map(spans.map((span) => [span.spanId, branchOf(span, false)]));
  const change = spans.find(isChange);
  addStandIns(branches, change?.spanId);
  const roots: Branch[] = [];
  for (const branch of branches.values()) {
    const parent = branch.span.parentId === undefined ? undefined : branches.get(branch.span.parentId);
    if (parent && !isOwnAncestor(branch, branches)) parent.children.push(branch);
    else roots.push(branch);
  }
  for (const root of roots) settle(root);
  return roots.sort(byStart);
}

/** The root span of a change: it names a commit and its repository. */
export const isChange = ({ attributes }: StoredSpan): boolean =>
  attributes?.[attribute.revision] !== undefined && attributes[attribute.repositoryUrl] !== undefined;

/** The whole run of one unit, whose children are its steps. */
export const isUnitRun = ({ attributes }: StoredSpan): boolean =>
  attributes?.[attribute.unit] !== undefined && attributes[attribute.action] !== undefined;

export function* leavesOf(branch: Branch): Generator<StoredSpan> {
  if (branch.children.length === 0 && !branch.open) yield branch.span;
  for (const child of branch.children) yield* leavesOf(child);
}

const branchOf = (span: StoredSpan, open: boolean): Branch => ({ span, children: [], open, endMs: span.endMs });

function addStandIns(branches: Map<string, Branch>, changeId: string | undefined): void {
  const orphans = new Map<string, StoredSpan[]>();
  for (const { span } of branches.values())
    if (span.parentId !== undefined && !branches.has(span.parentId) && !isChange(span))
      orphans.set(span.parentId, [...(orphans.get(span.parentId) ?? []), span]);
  for (const [spanId, children] of orphans) {
    const unit = children.map(({ attributes }) => attributes?.[attribute.unit]).find((id) => id !== undefined);
    const span: StoredSpan = {
      traceId: children[0]!.traceId,
      spanId,
      ...(changeId !== undefined && { parentId: changeId }),
      name: unit === undefined ? "…" : runName(String(unit)),
      startMs: Math.min(...children.map(({ startMs }) => startMs)),
      endMs: Math.max(...children.map(({ endMs }) => endMs)),
    };
    branches.set(spanId, branchOf(span, true));
  }
}

/** `SYNC kustomization/podinfo` for `kustomization/apps/podinfo`, as the run itself is named. */
const runName = (unit: string) => `SYNC ${unit.replace(/^([^/]+)\/[^/]+\//, "$1/")}`;

// Parents come from outside this process; a circle among them must not hang the reader.
function isOwnAncestor({ span }: Branch, branches: Map<string, Branch>): boolean {
  const seen = new Set([span.spanId]);
  for (let id = span.parentId; id !== undefined; id = branches.get(id)?.span.parentId) {
    if (id === span.spanId) return true;
    if (seen.has(id)) return false; // a circle further up: broken there
    seen.add(id);
  }
  return false;
}

function settle(branch: Branch): number {
  branch.children.sort(byStart);
  for (const child of branch.children) branch.endMs = Math.max(branch.endMs, settle(child));
  return branch.endMs;
}

const byStart = (a: Branch, b: Branch) => a.span.startMs - b.span.startMs || b.endMs - a.endMs;
