/** The file system isomorphic-git is given: one bare repository, in memory, gone with the call that made it. */
import type { PromiseFsClient } from "isomorphic-git";

/** @param received sees every file before it is stored, and refuses it by throwing */
export function memoryFs(received: (path: string, contents: Buffer) => void): PromiseFsClient {
  const files = new Map<string, Buffer>();
  const directories = new Set(["/"]);

  const stat = async (path: string) => {
    const file = files.get(path);
    if (!file && !directories.has(path)) throw failure("ENOENT", path);
    const is = { isFile: () => file !== undefined, isDirectory: () => file === undefined, isSymbolicLink: () => false };
    return { ...is, mode: 0o600, size: file?.length ?? 0, ino: 0, mtimeMs: 0, ctimeMs: 0 };
  };
  const none = async (path: string): Promise<never> => {
    throw failure("ENOENT", path);
  };

  return {
    promises: {
      async readFile(path: string, options?: string | { encoding?: string }) {
        const file = files.get(path) ?? (await none(path));
        const encoding = typeof options === "string" ? options : options?.encoding;
        return encoding ? file.toString() : file;
      },
      async writeFile(path: string, contents: string | Uint8Array) {
        if (!directories.has(parent(path))) throw failure("ENOENT", path);
        const bytes =
          typeof contents === "string"
            ? Buffer.from(contents)
            : Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength);
        received(path, bytes);
        files.set(path, bytes);
      },
      async mkdir(path: string) {
        if (directories.has(path)) throw failure("EEXIST", path);
        if (!directories.has(parent(path))) throw failure("ENOENT", path);
        directories.add(path);
      },
      async readdir(path: string) {
        if (!directories.has(path)) throw failure("ENOENT", path);
        const inside = (name: string) => name !== path && parent(name) === path;
        return [...files.keys(), ...directories].filter(inside).map((name) => name.slice(name.lastIndexOf("/") + 1));
      },
      async unlink(path: string) {
        if (!files.delete(path)) throw failure("ENOENT", path);
      },
      async rmdir(path: string) {
        if (!directories.delete(path)) throw failure("ENOENT", path);
      },
      stat,
      lstat: stat,
      readlink: none,
      symlink: (_target: string, path: string) => none(path),
    },
  };
}

const parent = (path: string) => path.slice(0, path.lastIndexOf("/")) || "/";

const failure = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code });
