/** An artifact's files, unpacked in memory. */
import { hash } from "node:crypto";
import { posix } from "node:path";

/** A tree that never changes. Paths are relative, with "/" between and without "./"; the root is "". */
export class Tree {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly sizeBytes: number;
  /** Names in each directory, sorted; those of directories end in "/". */
  private readonly directories: ReadonlyMap<string, readonly string[]>;
  private readonly hashes = new Map<string, string>();

  /**
   * @param files paths as above; the caller has checked them (unpack.ts does)
   * @param directories those that may be empty; the others follow from the files
   */
  constructor(files: Iterable<[path: string, content: Uint8Array]>, directories: Iterable<string> = []) {
    this.files = new Map(files);
    this.sizeBytes = this.files.values().reduce((sum, { length }) => sum + length, 0);
    const names = new Map<string, Set<string>>([["", new Set()]]);
    for (const path of this.files.keys()) addName(names, path, "");
    for (const path of directories) addDirectory(names, path);
    this.directories = new Map(names.entries().map(([path, set]) => [path, [...set].sort()]));
  }

  /** sha256 in hex of a file's content; undefined when there is no such file. */
  hash(path: string): string | undefined {
    const known = this.hashes.get(path);
    if (known) return known;
    const content = this.files.get(path);
    if (!content) return undefined;
    const digest = hash("sha256", content);
    this.hashes.set(path, digest);
    return digest;
  }

  isDirectory(path: string): boolean {
    return this.directories.has(path);
  }

  /** Of all of them but the root. */
  get directoryNames(): string[] {
    return [...this.directories.keys()].filter((path) => path !== "");
  }

  /** The names in a directory; undefined when there is no such directory. */
  list(path: string): readonly string[] | undefined {
    return this.directories.get(path);
  }

  /**
   * The tree as the module takes it (wasm/main.go, `load`), in one buffer that can be handed to a thread: the length of
   * a header in 4 bytes, the header as JSON, the contents one after the other.
   */
  pack(digest: string): Uint8Array<ArrayBuffer> {
    const files = Array.from(this.files, ([path, { length: size }]) => ({ path, size }));
    const header = new TextEncoder().encode(JSON.stringify({ digest, files, directories: this.directoryNames }));
    const packed = new Uint8Array(4 + header.length + this.sizeBytes);
    new DataView(packed.buffer).setUint32(0, header.length, true);
    packed.set(header, 4);
    let at = 4 + header.length;
    for (const content of this.files.values()) {
      packed.set(content, at);
      at += content.length;
    }
    return packed;
  }
}

/** Flux's path handling (securejoin): every form is relative to the root, and ".." does not lead out of it. */
export function withinRoot(path: string): string {
  return posix.join("/", path).replace(/^\/+|\/+$/g, "");
}

function addDirectory(names: Map<string, Set<string>>, path: string): void {
  if (names.has(path)) return;
  names.set(path, new Set());
  addName(names, path, "/");
}

function addName(names: Map<string, Set<string>>, path: string, mark: "" | "/"): void {
  const cut = path.lastIndexOf("/");
  const parent = cut < 0 ? "" : path.slice(0, cut);
  addDirectory(names, parent);
  names.get(parent)?.add(path.slice(cut + 1) + mark);
}
