/** Fields that say how objects are selected, changed and judged: shared by the kinds that apply manifests. */
import { z } from "zod";
import { stringMap } from "./schema.ts";

/** Every part given must match. */
export const objectSelector = z.object({
  group: z.string().optional().describe("API group."),
  version: z.string().optional().describe("API version."),
  kind: z.string().optional().describe("Kind."),
  name: z.string().optional().describe("Name, a regular expression."),
  namespace: z.string().optional().describe("Namespace, a regular expression."),
  labelSelector: z.string().optional().describe("Label selector, as kubectl takes it."),
  annotationSelector: z.string().optional().describe("The same over annotations."),
});

export const patch = z.object({
  patch: z.string().describe("The change: a strategic merge patch or a list of JSON 6902 operations, as YAML."),
  target: objectSelector.optional().describe("Objects to change; the patch names its object itself when absent."),
});

export const image = z.object({
  name: z.string().describe("Image as the manifests name it, without a tag."),
  newName: z.string().optional().describe("Image to use instead."),
  newTag: z.string().optional().describe("Tag to use instead."),
  digest: z.string().optional().describe("Digest to use instead; wins over `newTag`."),
});

export const commonMetadata = z.object({
  labels: stringMap().optional().describe("Labels."),
  annotations: stringMap().optional().describe("Annotations."),
});

export const healthCheckExpression = z.object({
  apiVersion: z.string().describe("Group and version of the objects."),
  kind: z.string().optional().describe("Their kind; all kinds of the group when absent."),
  current: z.string().describe("CEL expression: true when the object is healthy."),
  inProgress: z.string().optional().describe("CEL expression: true while it is not there yet."),
  failed: z.string().optional().describe("CEL expression: true when it has failed."),
});
