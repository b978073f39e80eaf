/** The part of a Kustomization's spec that decides what its files render to (kustomize.toolkit.fluxcd.io/v1). */
export type KustomizeSpec = {
  targetNamespace?: string;
  namePrefix?: string;
  nameSuffix?: string;
  patches?: { patch: string; target?: Selector }[];
  images?: { name: string; newName?: string; newTag?: string; digest?: string }[];
  components?: string[];
  ignoreMissingComponents?: boolean;
  commonMetadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  buildMetadata?: string[];
  /** Nothing to a build; but another one has to be applied, so that its key has to be another. */
  ignore?: unknown[];
};

type Selector = {
  group?: string;
  version?: string;
  kind?: string;
  name?: string;
  namespace?: string;
  labelSelector?: string;
  annotationSelector?: string;
};
