/** For tests: artifacts from file contents, as a source would store them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import { after } from "node:test";
import { gzipSync } from "node:zlib";
import { pack as startPack, type Header } from "tar-stream";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { KubeObject } from "./objects.ts";
import { Renderer, type RendererOptions } from "./render.ts";
import type { KustomizeSpec } from "./spec.ts";
import type { ArtifactHandle } from "./tree-cache.ts";
import { buildWasm } from "./wasm-file.ts";

export type Files = Record<string, string>;

export async function artifact(files: Files): Promise<ArtifactHandle> {
  const archive = await pack(Object.entries(files).map(([name, content]) => ({ name, content })));
  return { digest: `sha256:${hash("sha256", archive)}`, load: async () => archive };
}

type Entry = Pick<Header, "name"> & Partial<Header> & { content?: string };

/** Any archive, also one no source would write. */
export async function pack(entries: Entry[]): Promise<Uint8Array> {
  const stream = startPack();
  for (const { content = "", ...header } of entries) stream.entry(header, content);
  stream.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return gzipSync(Buffer.concat(chunks));
}

export const lines = (...texts: string[]) => texts.map((text) => `${text}\n`).join("");

export const configMap = (name: string, data = "{}") =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: ${data}\n`;

export const deployment = (name: string, image = `${name}:1`) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [{name: ${name}, image: "${image}"}]}
`;

/** A renderer for one file's tests: built when it is missing, closed when they are done. */
export async function renderer(options: RendererOptions = {}): Promise<Renderer> {
  const made = new Renderer({ ...options, wasm: await buildWasm(() => {}) });
  after(() => made.close());
  return made;
}

/** Renders files and gives the objects alone. */
export async function objectsOf(
  made: Renderer,
  files: Files,
  path: string,
  spec: KustomizeSpec = {},
): Promise<KubeObject[]> {
  const rendered = await made.render({ artifact: await artifact(files), path, spec }, new AbortController().signal);
  return rendered.unchanged ? [] : rendered.objects.map(({ object }) => object);
}

/** What a build says when it fails. */
export async function failureOf(
  made: Renderer,
  files: Files,
  path: string,
  spec: KustomizeSpec = {},
): Promise<FaultData> {
  return objectsOf(made, files, path, spec).then(
    (objects) => assert.fail(`built ${objects.length} objects`),
    (thrown: unknown) => Fault.from(thrown, "").toJSON(),
  );
}
