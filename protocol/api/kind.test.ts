import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { gitRepository } from "./git-repository.ts";
import { kustomization } from "./kustomization.ts";
import { kindOf, kinds } from "./registry.ts";

const metadata = { name: "shop", namespace: "apps", uid: "u-1", resourceVersion: "7", generation: 2 };
const git = { ...gitRepository.example, metadata };
const unit = { ...kustomization.example, metadata };
const gitSpec = gitRepository.example["spec"] as object;
const unitSpec = kustomization.example["spec"] as object;

test("[API2] a parsed object has the schema's defaults", () => {
  assert.equal(gitRepository.parse(git).spec.timeout, "60s");
  assert.equal(kustomization.parse(unit).spec.force, false);
});

test("[API15] an object without a status has one that says nobody has seen it", () => {
  assert.deepEqual(gitRepository.parse(git).status, { observedGeneration: -1 });
  assert.deepEqual(gitRepository.parse({ ...git, status: null }).status, { observedGeneration: -1 });
});

test("[API15] a status that stands is kept", () => {
  assert.deepEqual(gitRepository.parse({ ...git, status: { observedGeneration: 2 } }).status, {
    observedGeneration: 2,
  });
});

test("[API3] fields the kind does not know are left out, wherever they stand", () => {
  const parsed = gitRepository.parse({
    ...git,
    extra: 1,
    metadata: { ...metadata, managedFields: [{ manager: "kubectl" }] },
    spec: { ...gitSpec, gitImplementation: "go-git", ref: { branch: "main", extra: true } },
    status: { observedGeneration: 1, url: "http://old" },
  });
  assert.deepEqual(parsed, gitRepository.parse({ ...git, status: { observedGeneration: 1 } }));
});

test("[API5] an older served version parses as the stored one", () => {
  const parsed = kustomization.parse({ ...unit, apiVersion: "kustomize.toolkit.fluxcd.io/v1beta2" });
  assert.deepEqual(parsed.spec, kustomization.parse(unit).spec);
});

const wrong: { what: string; parse: (value: unknown) => unknown; value: unknown; field: string }[] = [
  { what: "a missing url", parse: gitRepository.parse, value: { ...git, spec: { interval: "1m" } }, field: "spec.url" },
  {
    what: "an scp address",
    parse: gitRepository.parse,
    value: { ...git, spec: { ...gitSpec, url: "git@host:a" } },
    field: "spec.url",
  },
  {
    what: "an interval in days",
    parse: gitRepository.parse,
    value: { ...git, spec: { ...gitSpec, interval: "1d" } },
    field: "spec.interval",
  },
  {
    what: "a timeout in hours",
    parse: gitRepository.parse,
    value: { ...git, spec: { ...gitSpec, timeout: "1h" } },
    field: "spec.timeout",
  },
  {
    what: "an unknown provider",
    parse: gitRepository.parse,
    value: { ...git, spec: { ...gitSpec, provider: "x" } },
    field: "spec.provider",
  },
  { what: "no spec", parse: gitRepository.parse, value: { ...git, spec: undefined }, field: "spec" },
  { what: "another kind", parse: gitRepository.parse, value: unit, field: "apiVersion" },
  {
    what: "an unknown version",
    parse: gitRepository.parse,
    value: { ...git, apiVersion: "source.toolkit.fluxcd.io/v9" },
    field: "apiVersion",
  },
  {
    what: "no uid",
    parse: gitRepository.parse,
    value: { ...git, metadata: { ...metadata, uid: "" } },
    field: "metadata.uid",
  },
  {
    what: "a damaged status",
    parse: gitRepository.parse,
    value: { ...git, status: { conditions: [{}] } },
    field: "status.conditions[0].type",
  },
  {
    what: "a source of no known kind",
    parse: kustomization.parse,
    value: { ...unit, spec: { ...unitSpec, sourceRef: { kind: "Secret", name: "a" } } },
    field: "spec.sourceRef.kind",
  },
  {
    what: "prune as a word",
    parse: kustomization.parse,
    value: { ...unit, spec: { ...unitSpec, prune: "yes" } },
    field: "spec.prune",
  },
  {
    what: "a namespace too long",
    parse: kustomization.parse,
    value: { ...unit, spec: { ...unitSpec, targetNamespace: "a".repeat(64) } },
    field: "spec.targetNamespace",
  },
  {
    what: "a patch without a patch",
    parse: kustomization.parse,
    value: { ...unit, spec: { ...unitSpec, patches: [{ patch: "a" }, {}] } },
    field: "spec.patches[1].patch",
  },
  { what: "null", parse: kustomization.parse, value: null, field: "object" },
  { what: "a number", parse: kustomization.parse, value: 7, field: "object" },
];
for (const { what, parse, value, field } of wrong)
  test(`[API4] ${what}: the fault names ${field}`, () =>
    assert.throws(
      () => parse(value),
      (fault) => {
        assert.ok(fault instanceof Fault);
        assert.equal(fault.code, "InvalidObject");
        assert.equal(fault.detail?.split(": ")[0], field);
        return true;
      },
    ));

test("[API4] the fault names the object, and never repeats a value", () => {
  const value = {
    ...git,
    spec: { ...gitSpec, interval: "hunter2", provider: "hunter2", url: "hunter2", secretRef: "hunter2" },
  };
  assert.throws(
    () => gitRepository.parse(value),
    (fault) => {
      assert.ok(fault instanceof Fault);
      assert.equal(fault.subject, "GitRepository/apps/shop");
      assert.doesNotMatch(`${fault.message} ${JSON.stringify(fault)}`, /hunter2/);
      return true;
    },
  );
});

test("[API6] kinds are found by the name an actor's key carries", () => {
  for (const kind of kinds) assert.equal(kindOf(kind.kind.toLowerCase()), kind);
  assert.equal(kindOf("secret"), undefined);
});
