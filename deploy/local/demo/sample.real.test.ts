import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { loadAll } from "js-yaml";
import { tool } from "../tools.ts";
import { runProgram } from "./run-program.ts";
import { environments } from "./sample.ts";

type Manifest = { kind: string; metadata: { name: string; namespace?: string }; spec?: { replicas?: number } };

for (const { name, replicas } of environments)
  test(`the overlay of ${name} builds: five objects in one namespace, ${replicas} replicas`, async () => {
    const folder = join(import.meta.dirname, "sample", "overlays", name.replace("shop-", ""));
    const { out } = await runProgram({ file: await tool("kubectl"), args: ["kustomize", folder] });
    const objects = loadAll(out) as Manifest[];
    assert.deepEqual(objects.map(({ kind }) => kind).sort(), ["ConfigMap", "Deployment", "Namespace", "Service", "ServiceAccount"]);
    for (const { kind, metadata } of objects) assert.equal(kind === "Namespace" ? metadata.name : metadata.namespace, name);
    assert.equal(objects.find(({ kind }) => kind === "Deployment")?.spec?.replicas, replicas);
  });
