/** Condition reasons as users of Flux's helm-controller know them, where they differ from those of a Kustomization. */
import type { SourceWords } from "#protocol/api/kind.ts";

export const releaseWords: Pick<SourceWords, "reasons"> = {
  reasons: {
    ArtifactMissing: "SourceNotReady", KubeConfigMissing: "RESTClientError", KubeConfigInvalid: "RESTClientError", AccountMissing: "RESTClientError",
    ClusterUnreachable: "ReconcileError", LeaseLost: "ReconcileError", Unexpected: "ReconcileError", ObjectInvalid: "ReconcileError", ApplyFailed: "ReconcileError",
    ApplyConflict: "ReconcileError", ObjectForbidden: "ReconcileError", KindUnknown: "ReconcileError", InputsChanged: "ValuesError",
  },
};
