/** What is done in a thread: opens the files a build needs, or the objects it made. Contents go in and out as bytes. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { CipherError } from "./cipher.ts";
import { isEncrypted, writeDocument } from "./formats/format.ts";
import { dataKeyOf } from "./keys/data-key.ts";
import type { AskGrant } from "./keys/grants.ts";
import { KeyError } from "./keys/key-kind.ts";
import { send } from "./keys/send.ts";
import { openObject, openValues, type Source } from "./objects.ts";
import { MacError, openDocument, type OpenOptions } from "./open.ts";
import { filesToOpen } from "./plan.ts";
import { FormatError } from "./tree.ts";

export type Shared = {
  secret: Readonly<Record<string, Uint8Array>>;
  ignoreMac: boolean;
  /** Whether there is an identity that can be asked for what the Secret lacks. */
  asks?: boolean;
};

export type FilesJob = Shared & {
  kind: "files";
  directory: string;
  components: readonly string[];
  /** Kustomization files, and all that may be encrypted. */
  files: Source[];
};

export type ObjectsJob = Shared & {
  kind: "objects";
  /** Each either the JSON of a whole encrypted object, or the data of a Secret. */
  objects: { name: string; whole?: Uint8Array; data?: Record<string, string> }[];
  sources: Source[];
};

/**
 * `digestKey`: made of all data keys that were used. Who has it has the contents too; a digest under it tells nothing to
 * anybody else. `plain`: the texts that were decrypted.
 */
export type FilesMade = { files: Source[]; digestKey: Uint8Array; plain: Uint8Array[] };
export type ObjectsMade = { objects: { whole?: Uint8Array; data?: Record<string, string>; digestKey: Uint8Array }[] };

/** As in Flux; a file beyond is named, not read. */
const largestBytes = 5 * 1024 * 1024;

/** @throws Fault */
export async function openFiles({ files, directory, components, ...shared }: FilesJob, signal: AbortSignal, ask?: AskGrant): Promise<FilesMade> {
  const contents = new Map(files.map(({ path, content }) => [path, content]));
  const references = filesToOpen({ get: (path) => contents.get(path), paths: contents.keys() }, directory, components);
  const options = optionsOf(shared, signal, ask);
  const made: FilesMade = { files: [], digestKey: new Uint8Array(), plain: [] };
  const dataKeys: Buffer[] = [];
  for (const { path, format } of references) {
    const content = contents.get(path);
    if (!content || !isEncrypted(content, format)) continue;
    await about(path, async () => {
      checkSize(content);
      const { document, dataKey, plain } = await openDocument(content, format, options);
      dataKeys.push(dataKey);
      made.plain.push(...plain);
      made.files.push({ path, content: bytesOf(writeDocument(document, format)) });
    });
  }
  return { ...made, digestKey: digestKeyOf(dataKeys) };
}

/** @throws Fault */
export async function openObjects({ objects, sources, ...shared }: ObjectsJob, signal: AbortSignal, ask?: AskGrant): Promise<ObjectsMade> {
  const options = optionsOf(shared, signal, ask);
  const made: ObjectsMade = { objects: [] };
  for (const { name, whole, data } of objects)
    await about(name, async () => {
      if (whole) {
        checkSize(whole);
        const { text, dataKeys, plain } = await openObject(Buffer.from(whole), sources, options);
        for (const bytes of plain) bytes.fill(0);
        made.objects.push({ whole: bytesOf(text), digestKey: digestKeyOf(dataKeys) });
      } else {
        const { data: opened, dataKeys, plain } = await openValues(data ?? {}, options);
        for (const bytes of plain) bytes.fill(0);
        made.objects.push({ data: opened, digestKey: digestKeyOf(dataKeys) });
      }
    });
  return made;
}

/** What every encrypted value begins with. */
const mark = "ENC[AES256_GCM,";

export const mayBeEncrypted = (content: Uint8Array): boolean => Buffer.from(content.buffer, content.byteOffset, content.byteLength).includes(mark);

function optionsOf({ secret, ignoreMac, asks }: Shared, signal: AbortSignal, ask?: AskGrant): OpenOptions {
  const context = { secret, send, nowMs: Date.now, signal, tokens: new Map<string, string>(), ...(asks && ask && { ask: granting(ask) }) };
  return { ignoreMac, dataKeyOf: (metadata) => dataKeyOf(metadata, context) };
}

const granting = (ask: AskGrant): AskGrant => (question) => ask(question).catch((thrown: unknown) => { throw new KeyError(thrown instanceof Error ? thrown.message : "no identity"); });

function checkSize({ length }: Uint8Array): void {
  if (length > largestBytes) throw new FormatError(`has ${length} bytes; an encrypted file may have ${largestBytes}`);
}

/** One for any set of data keys, whatever their order. They are cleared. */
function digestKeyOf(dataKeys: Buffer[]): Uint8Array {
  const hash = createHash("sha256").update("flotilla object digest\n");
  for (const key of new Set(dataKeys.map((dataKey) => dataKey.toString("hex")).sort())) hash.update(key);
  for (const dataKey of dataKeys) dataKey.fill(0);
  return new Uint8Array(hash.digest());
}

/** In a buffer of its own, which can be handed over. */
const bytesOf = (buffer: Buffer): Uint8Array => {
  const copy = new Uint8Array(buffer);
  buffer.fill(0);
  return copy;
};

/** What went wrong, as a fault of the file or object it went wrong with. */
async function about(subject: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const code = codeOf(thrown);
    if (!code) throw thrown;
    throw new Fault(code, subject, { detail: (thrown as Error).message });
  }
}

function codeOf(thrown: unknown): FaultCode | undefined {
  if (thrown instanceof MacError) return "DecryptionMacMismatch";
  if (thrown instanceof KeyError) return "DecryptionKeyMissing";
  return thrown instanceof FormatError || thrown instanceof CipherError ? "DecryptionFailed" : undefined;
}
