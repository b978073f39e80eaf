/** What a Flotilla keeps on disk: the stores of the embedded NATS, the caches and the logs. */
import { readFileSync, readdirSync, type Dirent } from "node:fs";
import { join } from "node:path";

/** The files below `folder` in which one of `words` stands. nats-server takes files away meanwhile: what is gone is not kept. */
export function filesWith(words: string[], folder: string): string[] {
  return entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesWith(words, path);
    if (!entry.isFile()) return [];
    const content = unlessGone(() => readFileSync(path));
    return content && words.some((word) => content.includes(word)) ? [path] : [];
  });
}

const entriesOf = (folder: string): Dirent[] => unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? [];

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
