/** From what kustomize built to what is applied: the steps Flux takes between the build and the API server. */
import { Fault } from "#protocol/errors/fault.ts";
import { digestOf } from "./decryption.ts";
import { normalize } from "./normalize.ts";
import type { KustomizeSpec } from "./spec.ts";

/** An integer beyond 2^53 is held as JSON.rawJSON: `JSON.stringify` writes its digits, arithmetic is not for it. */
export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    [field: string]: unknown;
  };
  [field: string]: unknown;
};

/**
 * `digest`: sha256 in hex of the object's canonical JSON; keyed where the object may hold values of Secrets, or decrypted data, which is
 * then `secret`: no message may quote its values.
 */
export type RenderedObject = { object: KubeObject; digest: string; secret?: true };

/** An object as it was built and decrypted; `digestKey`: for its digest, where that has to be keyed. */
export type BuiltObject = { value: unknown; digestKey?: Uint8Array | undefined; decrypted?: boolean };

/** @throws Fault BuildFailed for what is not a Kubernetes object, by its place in the build */
export function finish(
  built: readonly BuiltObject[],
  metadata: KustomizeSpec["commonMetadata"],
  subject: string,
): RenderedObject[] {
  return built
    .flatMap(({ value, ...rest }) => listItems(value).map((item) => ({ item, ...rest })))
    .map(({ item, ...rest }, index) => ({ object: kubeObject(item, index, subject), ...rest }))
    .filter(({ object }) => !isKustomizeFile(object))
    .map(({ object, digestKey, decrypted }) => {
      const normal = normalize(withMetadata(object, metadata));
      return { object: normal, digest: digestOf(normal, digestKey), ...(decrypted && { secret: true as const }) };
    });
}

/** A list is anything with an array of items at its top, as apimachinery sees it (Unstructured.IsList). */
function listItems(value: unknown): unknown[] {
  return isRecord(value) && Array.isArray(value["items"]) ? value["items"] : [value];
}

function kubeObject(value: unknown, index: number, subject: string): KubeObject {
  const { apiVersion, kind, metadata } = isRecord(value) ? value : {};
  const name = isRecord(metadata) ? metadata["name"] : undefined;
  if ([apiVersion, kind, name].every((text) => typeof text === "string" && text !== "")) return value as KubeObject;
  const known = [kind, name].filter((text) => typeof text === "string").join(" ");
  const which = `object ${index + 1} of the build${known && ` (${known})`}`;
  throw new Fault("BuildFailed", subject, { detail: `${which}: apiVersion, kind and metadata.name are needed` });
}

/** A kustomization file among the resources is for kustomize, not for the cluster. */
const isKustomizeFile = ({ apiVersion, kind }: KubeObject) =>
  kind.toLowerCase() === "kustomization" && apiVersion.startsWith("kustomize.config.k8s.io/");

function withMetadata(
  object: KubeObject,
  { labels, annotations }: NonNullable<KustomizeSpec["commonMetadata"]> = {},
): KubeObject {
  const { metadata } = object;
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(labels && { labels: { ...metadata.labels, ...labels } }),
      ...(annotations && { annotations: { ...metadata.annotations, ...annotations } }),
    },
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
