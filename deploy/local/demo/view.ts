/**
 * What the cluster holds of the kinds the story is about, kept current by watches: the story is told as it happens, and
 * looking costs the API server nothing.
 */
import { createKubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { watch, type Watched } from "#services/clients/kubernetes/watch.ts";

/** Only what the story reads; anything may be missing in a fresh object. */
export type Live = Watched & {
  metadata: { generation?: number };
  spec?: { replicas?: number; template?: { spec?: { containers?: { image?: string }[] } } };
  status?: {
    observedGeneration?: number;
    replicas?: number;
    updatedReplicas?: number;
    availableReplicas?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string; observedGeneration?: number }[];
    inventory?: { entries?: unknown[] };
    artifact?: { revision?: string };
    lastAppliedRevision?: string;
    latestRef?: { tag?: string };
    lastPushCommit?: string;
  };
  /** Of an event. */
  message?: string;
};

const paths = {
  GitRepository: "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
  Kustomization: "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
  ImagePolicy: "/apis/image.toolkit.fluxcd.io/v1/imagepolicies",
  ImageUpdateAutomation: "/apis/image.toolkit.fluxcd.io/v1/imageupdateautomations",
  Deployment: "/apis/apps/v1/deployments",
  Event: "/api/v1/namespaces/flux-system/events",
};

export type Kind = keyof typeof paths;

export type Expectation<T> = {
  /** What has to come true, as words that follow "expected". */
  what: string;
  /** Undefined until it has; called on every change. */
  look: () => T | undefined;
  /** What there is instead, for the message of a failure. */
  instead: () => string;
  withinMs: number;
};

export type View = {
  get(kind: Kind, namespace: string, name: string): Live | undefined;
  all(kind: Kind): Live[];
  /** @throws Error with what was expected and what there is instead, after `withinMs` */
  until<T>(expectation: Expectation<T>): Promise<T>;
  close(): Promise<void>;
};

type OnWait = (what: string, instead: string) => void;

/** @param onWait called every ten seconds of a wait, with what is waited for and what there is instead */
export async function openView(kubeconfig: string, onWait: OnWait): Promise<View> {
  const client = createKubeClient(await loadClusterConfig({ path: kubeconfig }));
  const over = new AbortController();
  const held = new Map<Kind, Map<string, Live>>();
  const looks = new Set<() => void>();
  const changed = () => [...looks].forEach((look) => look());

  const watches = (Object.keys(paths) as Kind[]).map((kind) => {
    const objects = new Map<string, Live>();
    held.set(kind, objects);
    const handler = {
      upsert: (object: Live) => {
        objects.set(idOf(object.metadata), object);
        changed();
      },
      remove: (key: { namespace: string; name: string }) => {
        objects.delete(idOf(key));
        changed();
      },
      held: () =>
        [...objects.values()].map(({ metadata: { namespace = "", name } }) => ({ namespace, name })),
      synced: changed,
    };
    return watch<Live>(client, { path: paths[kind] }, handler, over.signal);
  });

  return {
    get: (kind, namespace, name) => held.get(kind)?.get(idOf({ namespace, name })),
    all: (kind) => [...(held.get(kind)?.values() ?? [])],
    until: (expectation) => waitFor(expectation, looks, onWait),
    async close() {
      over.abort();
      await Promise.all(watches);
      await client.close();
    },
  };
}

const idOf = ({ namespace = "", name }: { namespace?: string; name: string }) => `${namespace}/${name}`;

const beatMs = 10_000;

function waitFor<T>(expectation: Expectation<T>, looks: Set<() => void>, onWait: OnWait): Promise<T> {
  const { what, look, instead, withinMs } = expectation;
  return new Promise((resolve, reject) => {
    const end = (finish: () => void) => {
      looks.delete(check);
      clearInterval(beat);
      clearTimeout(late);
      finish();
    };
    const check = () => {
      const found = look();
      if (found !== undefined) end(() => resolve(found));
    };
    const beat = setInterval(() => onWait(what, instead()), beatMs);
    const late = setTimeout(
      () => end(() => reject(new Error(`expected within ${withinMs / 1000} s: ${what}\nbut: ${instead()}`))), withinMs,
    );
    looks.add(check);
    check();
  });
}

/** The Ready condition in a line: `Ready=False BuildFailed: …`. */
export function readiness(object: Live | undefined): string {
  if (!object) return "it does not exist";
  const ready = object.status?.conditions?.find(({ type }) => type === "Ready");
  return ready ? `Ready=${ready.status} ${ready.reason ?? ""}: ${ready.message ?? ""}` : "it has no Ready condition yet";
}

/** As `kubectl wait` judges it: Ready, and judged since the last change of the spec. */
export function isReady({ metadata, status }: Live): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True" && (status?.observedGeneration ?? -1) >= (metadata.generation ?? 0);
}

export const imageOf = (deployment: Live | undefined): string | undefined =>
  deployment?.spec?.template?.spec?.containers?.[0]?.image;

/** Every replica is of the newest template and available. */
export function isRolledOut({ metadata, spec, status }: Live): boolean {
  const wanted = spec?.replicas ?? 1;
  return (
    (status?.observedGeneration ?? -1) >= (metadata.generation ?? 0) &&
    [status?.replicas, status?.updatedReplicas, status?.availableReplicas].every((count) => (count ?? 0) === wanted)
  );
}
