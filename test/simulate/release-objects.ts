/** What a simulated release is made of, and who runs its Jobs. */
import { gunzipSync, gzipSync } from "node:zlib";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { parseActorId } from "#protocol/names/actor.ts";
import { endsAs, type SmallChart } from "./helm.ts";
import type { SimulatedKube } from "./kube.ts";
import type { VirtualTime } from "./time.ts";
import type { Upstream } from "./upstream.ts";

export const releaseId = "helmrelease/apps/r";

/** Of the chart that is made from the repository. */
export const helmRelease = (): KubeObject => {
  const { name, namespace } = parseActorId(releaseId);
  return {
    apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name, namespace },
    spec: {
      interval: "5m", timeout: "40s", maxHistory: 4, chartRef: { kind: "HelmChart", name: "made" }, test: { enable: true, ignoreFailures: true },
      install: { remediation: { retries: 1 } }, upgrade: { remediation: { retries: 0, remediateLastFailure: true } },
    },
  };
};

/** The directory `chart` of a commit; its version tells its contents apart. */
export function chartIn(upstream: Upstream, archive: Uint8Array): SmallChart {
  const index = Number(new TextDecoder().decode(archive).slice("commit ".length));
  const at = (i: number) => { const tree = upstream.commits[i]?.["chart"]; return tree === undefined || tree === "broken" ? {} : tree; };
  let since = index;
  while (since > 0 && JSON.stringify(at(since - 1)) === JSON.stringify(at(index))) since--;
  return { name: "shop", version: `1.0.${since}`, objects: at(index) };
}

/** As a helm command that was killed: the next revision is begun, and nobody goes on with it. */
export function leavePending(kube: SimulatedKube): void {
  const [newest] = kube.list().filter(({ path }) => path.startsWith("Secret/apps/sh.helm.release.v1.r.v")).map(({ object }) => object).toReversed();
  if (!newest) return;
  const version = Number(newest.metadata.labels?.["version"]) + 1;
  const { release } = newest["data"] as { release: string };
  const document = JSON.parse(gunzipSync(Buffer.from(Buffer.from(release, "base64").toString(), "base64")).toString()) as { info: object };
  const begun = gzipSync(JSON.stringify({ ...document, version, info: { ...document.info, status: "pending-upgrade" } })).toString("base64");
  const labels = { ...newest.metadata.labels, version: String(version), status: "pending-upgrade" };
  const metadata = { name: `sh.helm.release.v1.r.v${version}`, namespace: "apps", labels };
  kube.create({ ...newest, metadata, data: { release: Buffer.from(begun).toString("base64") } }, "Helm", { worker: "somebody" });
}

/** As the cluster's controller: every Job comes to its end some time later. */
export function runJobs(kube: SimulatedKube, time: VirtualTime, takesMs: () => number): void {
  kube.watch(({ verb, path, after }) => {
    if (verb !== "create" || after?.kind !== "Job") return;
    const { uid, annotations } = after.metadata;
    time.in(takesMs(), () => {
      if (kube.get(path)?.metadata.uid !== uid) return;
      const conditions = [{ type: annotations?.[endsAs] ?? "Complete", status: "True" }];
      kube.update(path, (live) => ({ ...live, status: { conditions } }), "kube-controller-manager", { worker: "somebody" });
    });
  });
}
