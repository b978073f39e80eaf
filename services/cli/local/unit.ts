/** The Kustomization or HelmRelease that is built on this machine: the cluster's, or one of a file. */
import { readFile } from "node:fs/promises";
import { parseAllDocuments } from "yaml";
import { helmRelease, type HelmRelease } from "#protocol/api/helm-release.ts";
import { kustomization, type Kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { declared, factsOf, type RawObject } from "#services/worker/facts.ts";
import type { Cluster } from "../cluster.ts";
import { Failure } from "../failure.ts";
import { resourceKinds } from "../resources.ts";

export type Unit = { spec: Kustomization["spec"]; /** As the cluster holds it. */ live: RawObject | undefined };
export type Release = { spec: HelmRelease["spec"]; live: RawObject | undefined };

type Name = { namespace: string; name: string };

/** @throws Failure when there is none, Fault when a worker would refuse it */
export async function unitOf(name: Name, file: string | undefined, cluster: Cluster | undefined): Promise<Unit> {
  const { raw, live } = await found("Kustomization", name, file, cluster);
  return { spec: kustomization.parse(declared(raw)).spec, live };
}

/** @throws as unitOf does */
export async function releaseOf(name: Name, file: string | undefined, cluster: Cluster | undefined): Promise<Release> {
  const { raw, live } = await found("HelmRelease", name, file, cluster);
  return { spec: helmRelease.parse(declared(raw)).spec, live };
}

type Kind = "Kustomization" | "HelmRelease";

async function found(kind: Kind, name: Name, file: string | undefined, cluster: Cluster | undefined): Promise<{ raw: RawObject; live: RawObject | undefined }> {
  const known = resourceKinds.find((each) => each.kind === kind);
  const live = (known && (await cluster?.get(known, name))) as RawObject | undefined;
  const raw = file === undefined ? live : await readUnit(kind, file, name);
  if (!raw) throw new Failure(`${kind} '${name.name}' not found in namespace ${name.namespace}: give its file with ${fileOption(kind)}`);
  const { invalid } = factsOf(kind.toLowerCase(), raw);
  if (invalid) throw new Fault(invalid.code, invalid.subject, { detail: invalid.detail });
  return { raw, live };
}

const fileOption = (kind: Kind) => `--${kind.toLowerCase()}-file`;

async function readUnit(kind: Kind, file: string, { namespace, name }: Name): Promise<RawObject> {
  const option = fileOption(kind);
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new Failure(`${option}: ${file} cannot be read`, { cause });
  });
  const documents = parseAllDocuments(text);
  const broken = [...documents].flatMap(({ errors }) => errors)[0];
  if (broken) throw new Failure(`${option}: ${file}: ${broken.message.split("\n")[0]}`);
  const group = kind === "Kustomization" ? "kustomize" : "helm";
  const found = [...documents].map((document) => document.toJS({ maxAliasCount: 100 }) as RawObject | null).find((object) =>
    object?.kind === kind && String(object["apiVersion"]).startsWith(`${group}.toolkit.fluxcd.io/`) &&
    object.metadata?.name === name && (object.metadata.namespace ?? namespace) === namespace);
  if (!found) throw new Failure(`${option}: no ${kind} '${name}' of namespace ${namespace} in ${file}`);
  // What only a server gives is asked for by the schema, and by nobody here.
  return { ...found, metadata: { ...found.metadata, namespace, uid: "none", generation: 1, resourceVersion: "1" } };
}
