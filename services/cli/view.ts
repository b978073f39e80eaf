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

export function viewOf({ kind, staticMessage }: ResourceKind, { metadata, spec, status }: FluxObject): ObjectView {
  const says = staticMessage(spec);
  const ready = says === undefined ? readyOf({ metadata, status: status ?? {} }) : { status: "True", message: says };
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    revision: (words[kind]?.revision ?? usualRevision)(status ?? {}),
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

type Status = NonNullable<FluxObject["status"]>;
type Columns = Record<string, (object: FluxObject, view: ObjectView) => string>;

/** What the commands say of a kind that neither fetches nor applies, as Flux's do. */
type Words = { revision(status: Status): string; columns: Columns; outcome(status: Status): string };

const usualRevision = ({ artifact, lastAppliedRevision, lastAttemptedRevision }: Status): string => artifact?.revision ?? lastAppliedRevision ?? lastAttemptedRevision ?? "";
const suspended: Columns = { suspended: (_, view) => (view.suspended ? "True" : "False") };
const imageOf = ({ latestRef: { name = "", tag = "", digest } = {} }: Status): string => name && `${name}:${tag}${digest ? `@${digest}` : ""}`;

const words: Record<string, Words> = {
  ImageRepository: {
    revision: ({ lastScanResult }) => lastScanResult?.revision ?? "",
    columns: { "last scan": ({ status }) => status?.lastScanResult?.scanTime ?? "", ...suspended },
    outcome: ({ lastScanResult }) => `scan fetched ${lastScanResult?.tagCount ?? 0} tags`,
  },
  ImagePolicy: {
    revision: imageOf,
    columns: { image: ({ status }) => status?.latestRef?.name ?? "", tag: ({ status }) => status?.latestRef?.tag ?? "" },
    outcome: (status) => `selected ref ${imageOf(status)}`,
  },
  ImageUpdateAutomation: {
    revision: ({ lastPushCommit }) => lastPushCommit ?? "",
    columns: { "last run": ({ status }) => status?.lastAutomationRunTime ?? "", ...suspended },
    outcome: ({ conditions = [] }) => conditions.find(({ type }) => type === "Ready")?.message ?? "",
  },
};

/** Between an object's name and its readiness. */
export const columnsOf = ({ kind }: ResourceKind): Columns => words[kind]?.columns ?? { revision: (_, { revision }) => shortRevision(revision), ...suspended };

/** Sources fetch, and of what else has no words of its own everything applies. */
export const outcomeOf = ({ kind, isSource }: ResourceKind, { status = {} }: FluxObject): string =>
  words[kind]?.outcome(status) ?? `${isSource ? "fetched" : "applied"} revision ${usualRevision(status)}`;
