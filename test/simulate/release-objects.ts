/** What a simulated release is made of, and who runs its Jobs. */
import { gunzipSync, gzipSync } from "node:zlib";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { parseActorId } from "#protocol/names/actor.ts";
import { endsAs, type SmallChart } from "./helm.ts";
import type { SimulatedKube } from "./kube.ts";
import type { VirtualTime } from "./time.ts";
import type { Upstream } from "./upstream.ts";

export const releaseId = "helmrelease/apps/r";
export const maxHistory = 4;

/** Of the chart that is made from the repository. */
export const helmRelease = (): KubeObject => {
  const { name, namespace } = parseActorId(releaseId);
  return {
    apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name, namespace },
    spec: {
      interval: "5m", timeout: "40s", maxHistory, chartRef: { kind: "HelmChart", name: "made" }, test: { enable: true, ignoreFailures: true },
      install: { replace: true, remediation: { retries: 1 } }, upgrade: { remediation: { retries: 0, remediateLastFailure: true } },
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

/** As a helm command that was killed: the next revision is begun, and nobody goes on with it. Only what is there can be upgraded, and not while somebody does. */
export function leavePending(kube: SimulatedKube): void {
  const [newest] = kube.list().filter(({ path }) => path.startsWith("Secret/apps/sh.helm.release.v1.r.v")).map(({ object }) => object).toReversed();
  if (!newest || !["deployed", "failed"].includes(newest.metadata.labels?.["status"] ?? "")) return;
  const version = Number(newest.metadata.labels?.["version"]) + 1;
  const document = documentIn(newest);
  const begun = gzipSync(JSON.stringify({ ...document, version, info: { ...document.info, status: "pending-upgrade" } })).toString("base64");
  const labels = { ...newest.metadata.labels, version: String(version), status: "pending-upgrade" };
  const metadata = { name: `sh.helm.release.v1.r.v${version}`, namespace: "apps", labels };
  kube.create({ ...newest, metadata, data: { release: Buffer.from(begun).toString("base64") } }, "Helm", { worker: "somebody" });
}

type Document = { info: object; manifest: string; config?: object; hooks?: { name: string; kind: string; delete_policies?: string[] }[] };

function documentIn({ data }: KubeObject): Document {
  const { release } = data as { release: string };
  return JSON.parse(gunzipSync(Buffer.from(Buffer.from(release, "base64").toString(), "base64")).toString()) as Document;
}

/** What a revision says, by kind and name; of its hooks, when they are to go. */
export type Contents = { objects: ReadonlyMap<string, KubeObject>; hooks: ReadonlyMap<string, string[]>; config: object };

const read = new WeakMap<KubeObject, Contents>();

export function contentsOf(secret: KubeObject): Contents {
  const known = read.get(secret);
  if (known) return known;
  const { manifest, hooks = [], config = {} } = documentIn(secret);
  const objects = manifest.split("---\n").filter(Boolean).map((text) => JSON.parse(text) as KubeObject);
  const contents = {
    objects: new Map(objects.map((each) => [`${each.kind} ${each.metadata.name}`, each])),
    hooks: new Map(hooks.map(({ kind, name, delete_policies = [] }) => [`${kind} ${name}`, delete_policies])), config,
  };
  read.set(secret, contents);
  return contents;
}

/** As the cluster's controller: every Job comes to its end some time later, and to a good one where all is well. */
export function runJobs(kube: SimulatedKube, time: VirtualTime, takesMs: () => number, isWell: () => boolean): void {
  kube.watch(({ verb, path, after }) => {
    if (verb !== "create" || after?.kind !== "Job") return;
    const { uid, annotations } = after.metadata;
    time.in(takesMs(), () => {
      if (kube.get(path)?.metadata.uid !== uid) return;
      const conditions = [{ type: (isWell() ? undefined : annotations?.[endsAs]) ?? "Complete", status: "True" }];
      kube.update(path, (live) => ({ ...live, status: { conditions } }), "kube-controller-manager", { worker: "somebody" });
    });
  });
}
