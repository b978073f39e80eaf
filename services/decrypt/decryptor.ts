/**
 * SOPS decryption of a unit: the files a build reads, before it reads them, and the objects it made (docs/spec/decryption.md).
 * Nothing that was decrypted is kept here.
 */
import { Buffer } from "node:buffer";
import { annotations } from "#protocol/api/annotations.ts";
import { mayBeEncrypted } from "./jobs.ts";
import type { AskGrant } from "./keys/grants.ts";
import { isKustomization } from "./plan.ts";
import { Threads, type ThreadLimits } from "./threads.ts";

/** What a build is given, and what came of it. Objects are as kustomize made them: JSON values. */
export type Opened = { files: { path: string; content: Uint8Array }[]; digestKey?: Uint8Array; plain: Uint8Array[] };
export type OpenedObject = { object: unknown; digestKey?: Uint8Array };

type Tree = { files: ReadonlyMap<string, Uint8Array> };
type Build = { tree: Tree; directory: string; components: readonly string[] };
type Built = { tree: Tree; /** What the build read. */ read: readonly string[]; objects: readonly unknown[]; parse(text: string): unknown };

export type DecryptorOptions = {
  /** As Flux does: what was changed without sops goes unnoticed. */
  ignoreMac?: boolean;
  limits?: Partial<ThreadLimits>;
};

/** The keys of one unit: read when there is something to open. @throws Fault */
export type ReadKeys = () => Promise<Record<string, Uint8Array>>;

export class Decryptor {
  readonly ignoreMac: boolean;
  private readonly threads: Threads;
  /** Of artifacts that are at hand, what may be encrypted: many units share one, and looking reads all of it. */
  private readonly found = new WeakMap<Tree["files"], ReadonlySet<string>>();

  constructor({ ignoreMac = false, limits }: DecryptorOptions = {}) {
    this.ignoreMac = ignoreMac;
    this.threads = new Threads({ threads: 2, timeoutMs: 60_000, idleMs: 5_000, heapMegabytes: 256, ...limits });
  }

  /** @throws Fault DecryptionFailed, DecryptionKeyMissing, DecryptionMacMismatch, and of `keys`; the signal's */
  async openFiles({ tree, directory, components }: Build, keys: ReadKeys, signal: AbortSignal, ask?: AskGrant): Promise<Opened> {
    const none = { files: [], plain: [] };
    const encrypted = this.encryptedIn(tree);
    if (encrypted.size === 0) return none;
    const files = Array.from(tree.files, ([path, content]) => ({ path, content })).filter(({ path }) => encrypted.has(path) || isKustomization(path));
    const made = await this.threads.run({ kind: "files", directory, components, files, ignoreMac: this.ignoreMac, secret: await keys() }, signal, ask);
    return made.files.length === 0 ? none : made;
  }

  /** Every object, those that were encrypted decrypted, in their order. @throws Fault as openFiles */
  async openObjects({ tree, read, objects, parse }: Built, keys: ReadKeys, signal: AbortSignal, ask?: AskGrant): Promise<OpenedObject[]> {
    const sealed = objects.flatMap((object, at) => (isDecryptable(object) ? [{ at, object }] : []));
    const opened: OpenedObject[] = objects.map((object) => ({ object }));
    if (sealed.length === 0) return opened;
    const isWhole = sealed.some(({ object }) => isSealedWhole(object));
    const sources = isWhole && !this.ignoreMac ? read.flatMap((path) => {
      const content = tree.files.get(path);
      return content && this.encryptedIn(tree).has(path) ? [{ path, content }] : [];
    }) : [];
    const made = await this.threads.run({
      kind: "objects", sources, ignoreMac: this.ignoreMac, secret: await keys(),
      objects: sealed.map(({ object }) => ({
        name: nameOf(object), ...(isSealedWhole(object) ? { whole: Buffer.from(JSON.stringify(object)) } : { data: object["data"] as Record<string, string> }),
      })),
    }, signal, ask);
    for (const [index, { whole, data, digestKey }] of made.objects.entries()) {
      const { at, object } = sealed[index] ?? {};
      if (at === undefined || !object) continue;
      opened[at] = { object: whole ? parse(Buffer.from(whole).toString()) : { ...object, data }, digestKey };
      whole?.fill(0);
    }
    return opened;
  }

  private encryptedIn({ files }: Tree): ReadonlySet<string> {
    const known = this.found.get(files) ?? new Set(Array.from(files).flatMap(([path, content]) => (mayBeEncrypted(content) ? [path] : [])));
    this.found.set(files, known);
    return known;
  }

  close(): Promise<void> {
    return this.threads.close();
  }
}

type Made = Record<string, unknown>;

function isDecryptable(value: unknown): value is Made {
  return isRecord(value) && !isLeftAlone(value) && (isSealedWhole(value) || hasSealedValues(value));
}

const isSealedWhole = (object: Made): boolean => isRecord(object["sops"]) && Boolean(object["sops"]["mac"]);

const hasSealedValues = ({ kind, data }: Made): boolean =>
  kind === "Secret" && isRecord(data) && Object.values(data).every((value) => typeof value === "string") &&
  Object.values(data).some((value) => mayBeEncrypted(Buffer.from(value as string, "base64")));

/** As Flux reads it: only an annotation, in any case. */
function isLeftAlone({ metadata }: Made): boolean {
  const set = isRecord(metadata) && isRecord(metadata["annotations"]) ? metadata["annotations"][annotations.decrypt] : undefined;
  return typeof set === "string" && set.toLowerCase() === "disabled";
}

function nameOf({ kind, metadata }: Made): string {
  const { namespace, name } = isRecord(metadata) ? metadata : {};
  return [kind, namespace, name].filter((part) => typeof part === "string" && part !== "").join("/");
}

const isRecord = (value: unknown): value is Made => typeof value === "object" && value !== null && !Array.isArray(value);
