/** Decryption as a render uses it; services/decrypt is behind it. What was decrypted is cleared here as soon as it was used. */
import { Buffer } from "node:buffer";
import { createHmac, hash } from "node:crypto";
import { annotations } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { canonicalJson } from "./json.ts";
import type { KubeObject } from "./objects.ts";
import type { Tree } from "./tree.ts";

/** A file as the build shall see it instead of the artifact's. */
export type LaidFile = { path: string; content: Uint8Array };

/** `digestKey`: a secret of its own for whatever was decrypted; absent, nothing was. `plain`: the decrypted texts. */
export type OpenedFiles = { files: LaidFile[]; digestKey?: Uint8Array; plain: Uint8Array[] };
export type OpenedObject = { object: unknown; digestKey?: Uint8Array };

export type Decryption = {
  /** What the outcome depends on beside the files; part of the render's key, so never a secret. */
  settings: unknown;
  openFiles(build: { tree: Tree; directory: string; components: readonly string[] }, signal: AbortSignal): Promise<OpenedFiles>;
  /** All objects, in their order. */
  openObjects(built: { tree: Tree; read: readonly string[]; objects: readonly unknown[] }, signal: AbortSignal): Promise<OpenedObject[]>;
};

export const nothingOpened: OpenedFiles = { files: [], plain: [] };

export function clear({ files, plain }: OpenedFiles): void {
  for (const bytes of [...files.map(({ content }) => content), ...plain]) bytes.fill(0);
}

/**
 * An object's digest is kept in NATS. Over decrypted data and values of Secrets it is keyed: otherwise whoever reads it there
 * could guess a short password and check the guess.
 */
export function digestOf(object: unknown, key: Uint8Array | undefined): string {
  const text = canonicalJson(object);
  return key ? createHmac("sha256", key).update(text).digest("hex") : hash("sha256", text);
}

/** One key of all that has to be known to know what is in an object: the files' keys, its own, and that for values of Secrets. */
export const joinedKey = (...keys: (Uint8Array | undefined)[]): Uint8Array | undefined => {
  const [first, second] = keys.filter((key) => key !== undefined);
  return first && second ? createHmac("sha256", first).update(second).digest() : first;
};

/** kustomize quotes what it cannot build. Its words are passed on only if no run of four characters in them was encrypted. */
export function withheld(thrown: unknown, opened: OpenedFiles): unknown {
  if (!(thrown instanceof Fault) || thrown.code !== "BuildFailed" || opened.files.length === 0) return thrown;
  if (!quotes(thrown.detail ?? "", opened.plain)) return thrown;
  const files = opened.files.map(({ path }) => path).join(", ");
  const detail = `the build failed with the decrypted ${files}; the words are withheld, as they may quote the data: run kustomize build on what sops decrypt prints to see them`;
  return new Fault(thrown.code, thrown.subject, { detail }); // without the cause: loggers print it
}

const run = 4;

/** Also in base64, as in the data of a Secret. */
function quotes(message: string, plain: readonly Uint8Array[]): boolean {
  const runs = new Set<string>();
  const text = Buffer.from(message).toString("latin1");
  for (let at = 0; at + run <= text.length; at++) runs.add(text.slice(at, at + run));
  const holds = (words: string) => {
    for (let at = 0; at + run <= words.length; at++) if (runs.has(words.slice(at, at + run))) return true;
    return false;
  };
  return plain.some((bytes) => {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return holds(buffer.toString("latin1")) || holds(buffer.toString("base64"));
  });
}

/** @throws Fault DecryptionUnset for a Secret that is still encrypted: it would be applied as it is */
export function refuseEncrypted(objects: readonly KubeObject[], isSet: boolean): void {
  const found = objects.find(({ apiVersion, kind, metadata, ...object }) =>
    apiVersion === "v1" && kind === "Secret" && "sops" in object && metadata.annotations?.[annotations.decrypt]?.toLowerCase() !== "disabled");
  if (!found) return;
  const name = [found.kind, found.metadata.namespace, found.metadata.name].filter(Boolean).join("/");
  if (isSet) throw new Fault("DecryptionFailed", name, { detail: "has metadata of sops without a MAC" });
  throw new Fault("DecryptionUnset", name, { detail: "is SOPS encrypted, configuring decryption is required for this secret to be reconciled" });
}
