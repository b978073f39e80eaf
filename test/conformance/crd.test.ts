import assert from "node:assert/strict";
import test from "node:test";
import { kinds } from "#protocol/api/registry.ts";
import { factsOf, recorded } from "./facts.ts";

/** What this project adds to Flux's fields: they may be left out, and nothing of Flux's means anything else beside them. */
const additions: Record<string, string[]> = {
  Kustomization: ["spec.dependsOn[].apiVersion string minLength=1 maxLength=253", "spec.dependsOn[].kind string minLength=1 maxLength=63"],
  HelmRelease: ["spec.dependsOn[].apiVersion string minLength=1 maxLength=253", "spec.dependsOn[].kind string minLength=1 maxLength=63", "spec.valuesFrom[].namespace string minLength=1 maxLength=63"],
};

/** Where a field of Flux's admits more, for additions alone: rules and the worker see to it that nothing else gets more. */
const widened: Record<string, Record<string, string>> = {
  HelmRelease: {
    "spec.valuesFrom[] object": "spec.valuesFrom[] object rules=2",
    'spec.valuesFrom[].kind! string enum=["Secret","ConfigMap"]': 'spec.valuesFrom[].kind! string enum=["Secret","ConfigMap","OCIRepository","GitRepository","Bucket","ExternalArtifact"]',
    'spec.valuesFrom[].valuesKey string pattern="^[\\\\-._a-zA-Z0-9]+$" maxLength=253': 'spec.valuesFrom[].valuesKey string pattern="^[\\\\-._/a-zA-Z0-9]+$" maxLength=253',
  },
};

const storedOf = (kind: (typeof kinds)[number]) => kind.versions.find(({ storage }) => storage)?.name ?? assert.fail(kind.kind);
const formerOf = (kind: (typeof kinds)[number]) => kind.versions.flatMap(({ storage, name }) => (storage ? [] : [name]));

for (const kind of kinds)
  test(`[API8] ${kind.kind} ${storedOf(kind)} has Flux's names, columns, fields, limits and defaults, and no others`, () =>
    assert.deepEqual(factsOf(kind.crd(), storedOf(kind)).filter((line) => !additions[kind.kind]?.includes(line)), recorded(`${kind.kind.toLowerCase()}.${storedOf(kind)}`).map((line) => widened[kind.kind]?.[line] ?? line)));

for (const [kind, lines] of Object.entries(additions))
  test(`[API8] ${kind}: every addition is there, may be left out, and is none of Flux's fields`, () => {
    const defined = kinds.find((each) => each.kind === kind) ?? assert.fail(kind);
    const ours = factsOf(defined.crd(), storedOf(defined));
    for (const line of lines) {
      const field = line.split(" ")[0] ?? "";
      assert.ok(ours.includes(line) && !field.endsWith("!"), line);
      assert.ok(!recorded(`${kind.toLowerCase()}.${storedOf(defined)}`).some((theirs) => theirs.split(/!? /)[0] === field), line);
    }
  });

/** Where the stored version is more generous than a former one was, or says the same differently. */
const wider: Record<string, Record<string, string>> = {
  GitRepository: {
    "spec object": "a rule over fields that v1beta2 had not",
    'spec.gitImplementation string enum=["go-git","libgit2"] default="go-git"':
      "without effect, so nothing is written into objects",
    'spec.verify.mode! string enum=["head"]': "three more modes, and a default",
  },
  Bucket: { "spec object rules=5": "two rules more, over a field that v1beta2 had not" },
  HelmChart: { "spec object": "a rule over a field that v1beta2 had not" },
  "ImageRepository v1beta1": {
    "names ImageRepository ImageRepositoryList imagerepositories imagerepository": "and short names",
    "categories ": "and some",
    "spec.exclusionList array": "a default, and a limit",
    "spec.image string": "nothing could be scanned without it",
    'spec.interval string pattern="^([0-9]+(\\\\.[0-9]+)?(ms|s|m|h))+$"': "nothing was scanned without it",
  },
  "ImagePolicy v1beta1": {
    "names ImagePolicy ImagePolicyList imagepolicies imagepolicy": "and short names",
    "categories ": "and some",
    "column LatestImage string .status.latestImage": "status.latestRef says it in parts",
    "spec object": "two rules, over fields that v1beta1 had not",
  },
  "ImageUpdateAutomation v1beta2": { "categories ": "and some" },
  "ImageUpdateAutomation v1beta1": {
    "categories ": "and some",
    'spec.update.strategy! string enum=["Setters"] default="Setters"': "it has a default anyway",
  },
  Kustomization: {
    "spec.kubeConfig object": "the rule says what secretRef being required said",
    "spec.kubeConfig.secretRef! object": "or configMapRef",
    'spec.sourceRef.kind! string enum=["OCIRepository","GitRepository","Bucket"]': "and ExternalArtifact",
  },
  "HelmRelease v2beta2": {
    ...widened["HelmRelease"],
    'spec.chartRef.kind! string enum=["OCIRepository","HelmChart"]': "and ExternalArtifact",
  },
  "HelmRelease v2beta1": {
    ...widened["HelmRelease"],
    "spec object": "a rule over fields that v2beta1 had not",
    "spec.chart! object": "or chartRef",
    "spec.chart.spec.chart! string": "what is empty or endless names no chart",
    'spec.chart.spec.verify.provider! string enum=["cosign"] default="cosign"': "and notation",
    'spec.chartRef.kind! string enum=["OCIRepository","HelmChart"]': "and ExternalArtifact",
    "spec.kubeConfig object": "the rule says what secretRef being required said",
    "spec.kubeConfig.secretRef! object": "or configMapRef",
    "spec.serviceAccountName string": "what is empty or endless names no account",
  },
};

/** What a former version let be left out, and its objects did nothing without. */
const demanded: Record<string, string[]> = { "ImageRepository v1beta1": ["spec.image", "spec.interval"] };

for (const [kind, version] of kinds.flatMap((each) => formerOf(each).map((former) => [each, former] as const))) {
  const [old, ours] = [recorded(`${kind.kind.toLowerCase()}.${version}`), factsOf(kind.crd(), version)];
  const widened = wider[`${kind.kind} ${version}`] ?? wider[kind.kind] ?? {};
  test(`[API5] ${kind.kind} ${version} accepts every field its schema had`, () => {
    const missing = old.filter(
      (line) => !line.startsWith("status.") && !ours.includes(line) && widened[line] === undefined,
    );
    assert.deepEqual(missing, []);
  });
  test(`[API5] ${kind.kind} ${version} requires nothing its schema did not require`, () => {
    const required = (lines: string[]) => lines.flatMap((line) => line.match(/^\S+(?=! )/) ?? []);
    const fields = old.map((line) => line.split(/!? /)[0]);
    const known = ours.filter((line) => fields.includes(line.split(/!? /)[0]));
    assert.deepEqual(
      required(known).filter((path) => !required(old).includes(path)),
      demanded[`${kind.kind} ${version}`] ?? [],
    );
  });
  test(`[API5] every widening named for ${kind.kind} ${version} is still one`, () => {
    for (const line of Object.keys(widened)) assert.ok(old.includes(line) && !ours.includes(line), line);
  });
}

const components: Record<string, string> = {
  "source.toolkit.fluxcd.io": "source-controller",
  "kustomize.toolkit.fluxcd.io": "kustomize-controller",
  "helm.toolkit.fluxcd.io": "helm-controller",
  "source.extensions.fluxcd.io": "source-watcher",
  "image.toolkit.fluxcd.io": "image-reflector-controller",
  ImageUpdateAutomation: "image-automation-controller",
};

for (const kind of kinds)
  test(`[API9] ${kind.kind} is labelled and annotated for the flux command and for substitution`, () => {
    const { metadata, spec } = kind.crd();
    assert.equal(metadata.annotations["kustomize.toolkit.fluxcd.io/substitute"], "disabled");
    assert.equal(metadata.labels["app.kubernetes.io/part-of"], "flux");
    assert.match(metadata.labels["app.kubernetes.io/version"] ?? "", /^v2\.\d+\.\d+$/);
    assert.equal(metadata.labels["app.kubernetes.io/component"], components[kind.kind] ?? components[kind.group]);
    assert.ok(!("kustomize.toolkit.fluxcd.io/namespace" in metadata.labels), "flux would think itself bootstrapped");
    assert.deepEqual(
      spec.versions.filter(({ storage }) => storage).map(({ name }) => name),
      [{ "source.extensions.fluxcd.io": "v1beta1", "helm.toolkit.fluxcd.io": "v2" }[kind.group as string] ?? "v1"],
    );
    for (const { name, deprecationWarning = "" } of spec.versions) {
      assert.equal(deprecationWarning !== "", name !== storedOf(kind));
      assert.ok(deprecationWarning.length <= 256, "the API server's limit");
    }
  });
