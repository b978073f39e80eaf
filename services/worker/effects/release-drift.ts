/** What of a deployed release is no longer as it was applied, and putting it back. */
import { Fault } from "#protocol/errors/fault.ts";
import type { CorrectOutcome, DriftOutcome } from "#protocol/messages/release.ts";
import type { ReleaseCall } from "#services/release/call.ts";
import { correctDrift, findDrift } from "#services/release/drift.ts";
import { readRevision, type Stored } from "#services/release/storage.ts";
import type { EffectCall } from "../host.ts";
import type { Effects } from "./effects.ts";
import { withoutValues } from "./redaction.ts";
import { contextOf, leavesOf, placeNow, type ReleaseScope, type Spec } from "./release-scope.ts";

type Ignore = NonNullable<Spec["driftDetection"]>["ignore"];

export function releaseDrift(scope: ReleaseScope): Pick<Effects, "compare" | "correct"> {
  const { cluster } = scope.ports;

  /** The manifest of the revision that is deployed: what the cluster is compared with. */
  async function onDeployed<T>(call: EffectCall, run: (release: ReleaseCall & { redact(text: string): string; ignore: NonNullable<Ignore> }, stored: Stored) => Promise<T>, nothing: T): Promise<T> {
    const context = contextOf(call);
    const [latest] = context.history;
    const spec = await scope.spec(call.key);
    if (!latest) return nothing;
    return scope.onRelease(call, spec, placeNow(context), "", async (release) => {
      const stored = await readRevision(release, latest.version);
      if (!stored) return nothing;
      // Values that came out of Secrets are in the stored ones, and nobody can tell which: none is quoted.
      const confidential = leavesOf(stored.document.config);
      return run({ ...release, ignore: spec.driftDetection?.ignore ?? [], redact: (text) => withoutValues(text, confidential) }, stored);
    });
  }

  /** What was applied on the client's side leaves no mark of its own on the fields. */
  function doubtful(call: EffectCall): Set<string> {
    const { inventory } = contextOf(call);
    const unmarked = inventory.filter(({ uid, owned }) => uid !== "" && owned === "");
    return new Set([...cluster.drifted(call.key, inventory), ...unmarked].map(({ id }) => id));
  }

  return {
    /** What is known to differ, or cannot be known, costs requests, and nothing else does. */
    compare: async (call) => {
      const { all } = call.input as { all: boolean };
      const ids = all ? undefined : doubtful(call);
      if (ids?.size === 0) return { differences: [] };
      return onDeployed<DriftOutcome>(call, (release, stored) => findDrift(release, stored.document, ids), { differences: [] });
    },

    correct: (call) => onDeployed<CorrectOutcome>(call, async (release, stored) => {
      const ids = (call.input as { ids?: string[] } | null)?.ids; // a record of before knows none
      const { differences } = await findDrift(release, stored.document, ids && new Set(ids));
      const { changes, entries, fault } = await correctDrift(release, stored.document, new Map(differences.map(({ id, by = "" }) => [id, by])));
      if (fault?.code === "LeaseLost") throw new Fault("LeaseLost", fault.subject);
      const corrected = new Map(entries.map((entry) => [entry.id, entry]));
      const by = new Map(differences.map((each) => [each.id, each.by]));
      return {
        changes: changes.map((change) => ({ ...change, ...(by.get(change.id) && { by: by.get(change.id) as string }) })),
        entries: contextOf(call).inventory.map((entry) => corrected.get(entry.id) ?? entry), ...(fault && { fault }),
      };
    }, { changes: [] }),
  };
}
