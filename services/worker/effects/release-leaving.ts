/** The end of a release: what is taken away with its object, and what late writes of a dead owner may have left. */
import type { ReleaseContext } from "#machines/release/machine.ts";
import { accountOf, isAccountName } from "#machines/rules/tenancy.ts";
import { Fault, isPassing } from "#protocol/errors/fault.ts";
import type { ReleaseRemoved } from "#protocol/messages/release.ts";
import { sweepLate } from "#services/release/late.ts";
import { listRevisions } from "#services/release/storage.ts";
import { uninstall } from "#services/release/uninstall.ts";
import type { EffectCall } from "../host.ts";
import type { Effects } from "./effects.ts";
import { uninstallOptions } from "./release-actions.ts";
import { deleteChart } from "./release-chart.ts";
import { knownIn } from "./release-known.ts";
import { contextOf, placeNow, specOf, type ReleaseScope, type Spec } from "./release-scope.ts";

export function releaseLeaving(scope: ReleaseScope): Pick<Effects, "sweep" | "remove" | "release"> {
  const { clock, cluster, hub, tenancy } = scope.ports;

  const isThere = async (call: EffectCall, spec: Spec): Promise<string | undefined> => {
    const account = accountOf(call.key, spec.serviceAccountName, tenancy);
    if (!account || spec.kubeConfig || (isAccountName(account.name) && (await cluster.hasAccount(account)))) return undefined;
    return `skipping Helm release uninstallation: ServiceAccount/${account.namespace}/${account.name} not found`;
  };

  /** Looks once more for what was deleted since an owner crashed, wherever that was. */
  async function sweep(call: EffectCall, spec: Spec, wanted: ReadonlySet<string>, isOver = true): Promise<null> {
    const { suspects = [], facts } = contextOf(call);
    if (!facts) return null;
    for (const { place, objects } of suspects.length > 0 ? suspects : [{ place: facts.place, objects: [] }])
      await scope.onRelease(call, spec, place, "", (release) => sweepLate(release, isOver ? facts.uid : undefined, objects, wanted));
    return null;
  }

  return {
    sweep: async (call) => sweep(call, await scope.spec(call.key), new Set(contextOf(call).inventory.map(({ id }) => id))),

    async remove(call): Promise<ReleaseRemoved> {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      if (!live || context.facts?.suspended) return {};
      const spec = specOf(live);
      if (context.suspects && context.wary === undefined) await sweep(call, spec, new Set(), context.storageNamespace === "");
      const known = knownIn(live);
      // A store of ours that never looked knows nothing of what Flux has released.
      const lies: ReleaseContext = context.takenOver ? context : { ...context, history: known.history, storageNamespace: known.storageNamespace };
      const [latest] = lies.history;
      if (lies.storageNamespace === "" || (!latest && !lies.act)) return {};
      const skipped = await isThere(call, spec);
      if (skipped !== undefined) return { skipped };
      try {
        return await scope.onRelease(call, spec, placeNow(lies), `${context.facts?.uid ?? ""}.end`, async (release) => {
          const [newest] = await listRevisions(release);
          // Before the first action was recorded only what was made for this object is ours.
          if (!latest && !newest?.intent?.startsWith(`${context.facts?.uid ?? ""}.`)) return { removed: { written: [], log: [], absent: true } };
          if (!newest) return { removed: { written: [], log: [], absent: true } };
          return { removed: await scope.outcomeOf(call, release.place, await uninstall(release, newest.version, uninstallOptions(spec, context.facts as NonNullable<typeof context.facts>)), []) };
        });
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "KubeConfigMissing") return { skipped: `skipping Helm release uninstallation: ${thrown.detail ?? thrown.message}` };
        if (!(thrown instanceof Fault) || isPassing(thrown.code)) throw thrown;
        return { removed: { written: [], log: [], fault: thrown.toJSON() } };
      }
    },

    async release(call) {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      const chart = context.chart || (live ? knownIn(live).chart : "");
      if (live && chart !== "" && context.facts?.suspended !== true)
        await cluster.within(call.key, {}, (handle, guard) => deleteChart(call.key, chart, { cluster: handle, guard, signal: call.signal, tenancy, nowMs: clock.nowMs() }));
      return hub.removeFinalizer(call.key);
    },
  };
}
