/** What the commands say about an object. */
import type { FluxObject } from "./cluster.ts";
import type { ResourceKind } from "./resources.ts";

export type ObjectView = {
  kind: string;
  namespace: string;
  name: string;
  revision: string;
  suspended: boolean;
  ready: string;
  message: string;
};

export function viewOf({ kind }: ResourceKind, { metadata, spec, status }: FluxObject): ObjectView {
  const ready = readyOf({ metadata, status: status ?? {} });
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    revision: status?.artifact?.revision ?? status?.lastAppliedRevision ?? "",
    suspended: spec?.suspend === true,
    // As Flux's command: an object that nobody has looked at is not ready (flux.md 5.2).
    ready: ready?.status ?? "False",
    message: ready?.message ?? "waiting to be reconciled",
  };
}

export const readyOf = ({ status }: FluxObject) => status?.conditions?.find(({ type }) => type === "Ready");

export type Progress = "underway" | "ready" | "failed";

/** Whether what the object says is about its present generation, and what it says (kstatus, flux.md 5.2). */
export function progressOf(object: FluxObject): Progress {
  const { metadata, status } = object;
  const generation = metadata.generation ?? 0;
  const is = (type: string) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
  if (is("Stalled")) return "failed";
  const ready = readyOf(object);
  if ((status?.observedGeneration ?? generation) !== generation && ready?.observedGeneration !== generation)
    return "underway";
  if (ready?.status === "True") return is("Reconciling") ? "underway" : "ready";
  if (ready?.status === "False")
    return is("Reconciling") && ready.observedGeneration !== generation ? "underway" : "failed";
  return "underway";
}

/** Hex digests cut to eight digits, as Flux's command does: `main@sha1:12345678`. */
export const shortRevision = (revision: string): string =>
  revision.replace(/[0-9a-f]{40,128}/g, (hex) => hex.slice(0, 8));

/** Sources fetch, everything else applies. */
export const outcomeOf = ({ isSource }: ResourceKind, { revision }: ObjectView): string =>
  `${isSource ? "fetched" : "applied"} revision ${revision}`;
