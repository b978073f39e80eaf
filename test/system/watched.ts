/** Every object of one collection, kept up to date by a watch, with all the states it has been seen in. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Kube, KubeObject } from "./kube.ts";

export const sourceKinds = ["GitRepository", "OCIRepository", "Bucket", "HelmRepository", "HelmChart", "ExternalArtifact", "ArtifactGenerator"] as const;
export const unitKinds = ["Kustomization", "HelmRelease"] as const;
export const imageKinds = ["ImageRepository", "ImagePolicy", "ImageUpdateAutomation"] as const;
export const watchedKinds = [...sourceKinds, ...unitKinds, ...imageKinds, "Event"] as const;

export type Watched = {
  /** As last seen; undefined when there is none. */
  get(namespace: string, name: string): KubeObject | undefined;
  all(namespace: string): KubeObject[];
  /** Every state the object has been seen in, oldest first; it outlives the object. */
  history(namespace: string, name: string): KubeObject[];
};

const reconnectMs = 200; // an API server that restarts refuses connections for a while

export async function watchCollection(kube: Kube, path: string, signal: AbortSignal): Promise<Watched> {
  const now = new Map<string, KubeObject>();
  const seen = new Map<string, KubeObject[]>();
  const keyOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;

  const take = (object: KubeObject) => {
    now.set(keyOf(object), object);
    const states = seen.get(keyOf(object)) ?? [];
    seen.set(keyOf(object), states);
    states.push(object);
  };

  async function relist(): Promise<string> {
    const list = await kube.get<{ metadata: { resourceVersion: string }; items: KubeObject[] }>(path);
    const names = new Set(list.items.map(keyOf));
    for (const name of now.keys()) if (!names.has(name)) now.delete(name);
    for (const item of list.items)
      if (item.metadata.resourceVersion !== now.get(keyOf(item))?.metadata.resourceVersion) take(item);
    return list.metadata.resourceVersion;
  }

  async function follow(version: string): Promise<void> {
    for await (const { type, object } of kube.watch(`${path}?watch=true&resourceVersion=${version}`, signal)) {
      if (type === "ERROR") return;
      if (type === "DELETED") now.delete(keyOf(object));
      else take(object);
    }
  }

  async function keepOn(version: string): Promise<void> {
    for (let from: string | undefined = version; !signal.aborted; await sleep(reconnectMs)) {
      try {
        await follow(from ?? (await relist()));
        from = undefined;
      } catch {
        from = undefined; // the server is away, or the watch was aborted: the loop's condition tells which
      }
    }
  }

  void keepOn(await relist());
  return {
    get: (namespace, name) => now.get(`${namespace}/${name}`),
    all: (namespace) => [...now.values()].filter(({ metadata }) => metadata.namespace === namespace),
    history: (namespace, name) => seen.get(`${namespace}/${name}`) ?? [],
  };
}
