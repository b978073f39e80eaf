/** Fields that the kinds share that put objects into a cluster: how those are selected, changed and judged, and where they go. */
import { z } from "zod";
import { freeForm, localReference, stringMap, validations } from "./schema.ts";

/** The kinds of sources whose artifacts are files: manifests to build, values to release with. */
export const sourcesOfFiles = ["OCIRepository", "GitRepository", "Bucket", "ExternalArtifact"] as const;

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

/** Fields that others may change without being put back. */
export const ignoreRule = z.object({
  paths: z.array(z.string()).describe("JSON pointers to the fields."),
  target: objectSelector.optional().describe("Objects it applies to; all when absent."),
});

const oneKubeConfig = "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified";

/** Where to act: on another cluster. */
export const kubeConfig = z
  .object({
    configMapRef: localReference()
      .optional()
      .describe("ConfigMap that says how to reach the cluster with a workload identity."),
    secretRef: z
      .object({
        name: z.string().describe("Name of the Secret."),
        key: z.string().optional().describe("Key of the kubeconfig in it; `value`, then `value.yaml`, when absent."),
      })
      .optional()
      .describe("Secret that holds a kubeconfig."),
  })
  .meta(
    validations(
      { rule: "has(self.configMapRef) || has(self.secretRef)", message: oneKubeConfig },
      { rule: "!has(self.configMapRef) || !has(self.secretRef)", message: oneKubeConfig },
    ),
  );

/** What stands in the cluster, as `status.inventory` lists it. */
export const inventory = z.object({
  entries: z
    .array(
      z.object({
        id: z.string().describe("`<namespace>_<name>_<group>_<kind>`."),
        v: z.string().describe("Version of its kind."),
      }),
    )
    .describe("The objects."),
});

/** How old versions wrote a patch: as one list of operations for each target. */
export const jsonPatch = z.object({
  patch: z.array(
    z.object({
      op: z.enum(["test", "remove", "add", "replace", "move", "copy"]),
      path: z.string(),
      from: z.string().optional(),
      value: freeForm().optional(),
    }),
  ),
  target: objectSelector,
});
