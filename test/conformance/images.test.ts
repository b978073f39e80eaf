import assert from "node:assert/strict";
import test from "node:test";
import { imagePolicy } from "#protocol/api/image-policy.ts";
import { imageRepository } from "#protocol/api/image-repository.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { electTag } from "#services/images/policy.ts";
import { stored } from "./samples.ts";

const sample = (kind: string, spec: Record<string, unknown>, version = "v1") =>
  stored({ apiVersion: `image.toolkit.fluxcd.io/${version}`, kind, metadata: { name: "shop" }, spec });

for (const version of ["v1", "v1beta2", "v1beta1"])
  test(`[IM11] ${version}: what a tutorial writes is read, with its defaults, and elects`, () => {
    const { spec } = imageRepository.parse(sample("ImageRepository", { image: "registry.example.com/shop", interval: "1m" }, version));
    assert.deepEqual(spec, { image: "registry.example.com/shop", interval: "1m", provider: "generic", exclusionList: ["^.*\\.sig$"] });
    const policy = imagePolicy.parse(sample("ImagePolicy", {
      imageRepositoryRef: { name: "shop" }, filterTags: { pattern: "^main-(?P<ts>[0-9]+)", extract: "$ts" }, policy: { numerical: {} },
    }, version));
    assert.equal(policy.spec.digestReflectionPolicy, "Never");
    assert.equal(electTag(["main-9", "main-10", "dev-11"], policy.spec, "ImagePolicy/apps/shop"), "main-10");
  });

for (const { kind, spec, field } of [
  { kind: imageRepository, spec: { interval: "1m" }, field: "spec.image" },
  { kind: imageRepository, spec: { image: "shop", interval: "soon" }, field: "spec.interval" },
  { kind: imageRepository, spec: { image: "shop", interval: "1m", timeout: "1h" }, field: "spec.timeout" },
  { kind: imageRepository, spec: { image: "shop", interval: "1m", exclusionList: Array(26).fill("x") }, field: "spec.exclusionList" },
  { kind: imagePolicy, spec: { imageRepositoryRef: { name: "shop" } }, field: "spec.policy" },
  { kind: imagePolicy, spec: { imageRepositoryRef: { name: "shop" }, policy: { numerical: { order: "ASC" } } }, field: "spec.policy.numerical.order" },
])
  test(`[IM10] ${kind.kind}: a wrong ${field} is named`, () =>
    assert.throws(() => kind.parse(sample(kind.kind, spec)), (error: unknown) => error instanceof Fault && error.code === "InvalidObject" && error.message.includes(field)));
