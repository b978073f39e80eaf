/** The kinds of this release. */
import { finalizer } from "./annotations.ts";
import { artifactGenerator } from "./artifact-generator.ts";
import { bucket } from "./bucket.ts";
import { externalArtifact } from "./external-artifact.ts";
import { gitRepository } from "./git-repository.ts";
import { helmChart } from "./helm-chart.ts";
import { helmRelease } from "./helm-release.ts";
import { helmRepository } from "./helm-repository.ts";
import { imagePolicy } from "./image-policy.ts";
import { imageRepository } from "./image-repository.ts";
import { imageUpdateAutomation } from "./image-update-automation.ts";
import { kustomization } from "./kustomization.ts";
import { ociRepository } from "./oci-repository.ts";

export const kinds = [
  gitRepository, ociRepository, bucket, helmRepository, helmChart, externalArtifact, artifactGenerator, kustomization, helmRelease,
  imageRepository, imagePolicy, imageUpdateAutomation,
] as const;

/** By the lower-case name an actor's key carries (protocol/names/actor.ts). */
export const kindOf = (actorKind: string) => kinds.find(({ kind }) => kind.toLowerCase() === actorKind);

/** What objects of a kind carry while something is kept for them. */
export const finalizerOf = (actorKind: string): string => kindOf(actorKind)?.finalizer ?? finalizer;
