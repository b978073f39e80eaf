import assert from "node:assert/strict";
import test from "node:test";
import { kinds } from "#protocol/api/registry.ts";
import { factsOf, recorded } from "./facts.ts";

for (const kind of kinds)
  test(`[API8] ${kind.kind} v1 has Flux's names, columns, fields, limits and defaults, and no others`, () =>
    assert.deepEqual(factsOf(kind.crd(), "v1"), recorded(`${kind.kind.toLowerCase()}.v1`)));

/** Where v1 is more generous than v1beta2 was, or says the same differently. */
const wider: Record<string, Record<string, string>> = {
  GitRepository: {
    "spec object": "a rule over fields that v1beta2 had not",
    'spec.gitImplementation string enum=["go-git","libgit2"] default="go-git"':
      "without effect, so nothing is written into objects",
    'spec.verify.mode! string enum=["head"]': "three more modes, and a default",
  },
  Kustomization: {
    "spec.kubeConfig object": "the rule says what secretRef being required said",
    "spec.kubeConfig.secretRef! object": "or configMapRef",
    'spec.sourceRef.kind! string enum=["OCIRepository","GitRepository","Bucket"]': "and ExternalArtifact",
  },
};

for (const kind of kinds) {
  const [old, ours] = [recorded(`${kind.kind.toLowerCase()}.v1beta2`), factsOf(kind.crd(), "v1beta2")];
  const widened = wider[kind.kind] ?? {};
  test(`[API5] ${kind.kind} v1beta2 accepts every field its schema had`, () => {
    const missing = old.filter(
      (line) => !line.startsWith("status.") && !ours.includes(line) && widened[line] === undefined,
    );
    assert.deepEqual(missing, []);
  });
  test(`[API5] ${kind.kind} v1beta2 requires nothing its schema did not require`, () => {
    const required = (lines: string[]) => lines.flatMap((line) => line.match(/^\S+(?=! )/) ?? []);
    const fields = old.map((line) => line.split(/!? /)[0]);
    const known = ours.filter((line) => fields.includes(line.split(/!? /)[0]));
    assert.deepEqual(
      required(known).filter((path) => !required(old).includes(path)),
      [],
    );
  });
  test(`[API5] every widening named for ${kind.kind} is still one`, () => {
    for (const line of Object.keys(widened)) assert.ok(old.includes(line) && !ours.includes(line), line);
  });
}

for (const kind of kinds)
  test(`[API9] ${kind.kind} is labelled and annotated for the flux command and for substitution`, () => {
    const { metadata, spec } = kind.crd();
    assert.equal(metadata.annotations["kustomize.toolkit.fluxcd.io/substitute"], "disabled");
    assert.equal(metadata.labels["app.kubernetes.io/part-of"], "flux");
    assert.match(metadata.labels["app.kubernetes.io/version"] ?? "", /^v2\.\d+\.\d+$/);
    assert.equal(
      metadata.labels["app.kubernetes.io/component"],
      kind.kind === "GitRepository" ? "source-controller" : "kustomize-controller",
    );
    assert.ok(!("kustomize.toolkit.fluxcd.io/namespace" in metadata.labels), "flux would think itself bootstrapped");
    assert.deepEqual(
      spec.versions.filter(({ storage }) => storage).map(({ name }) => name),
      ["v1"],
    );
    for (const { name, deprecationWarning = "" } of spec.versions) {
      assert.equal(deprecationWarning !== "", name !== "v1");
      assert.ok(deprecationWarning.length <= 256, "the API server's limit");
    }
  });
