/** Makes a commit out of files that are others now: only they, and the directories above them, are written anew. */
import { readSigningKey, signCommit } from "../signature/sign.ts";
import { oidOf, packOf, withEntries, type GitObject } from "./objects.ts";

/** Of the commit that is changed: its directories above the files that may change, by path; the root's is "". */
export type Trees = ReadonlyMap<string, Uint8Array>;

export type Person = { name: string; email: string };

export type CommitJob = {
  /** Of the repository it is for; for messages. */
  access: { url: string };
  parent: string;
  trees: Trees;
  /** New contents, by path. */
  files: ReadonlyMap<string, Uint8Array>;
  /** Author and committer. */
  author: Person;
  /** Seconds since 1970. */
  atS: number;
  message: string;
  /** With the key in a Secret's data. */
  signing?: { type: "gpg" | "ssh"; secret: Record<string, Uint8Array>; shown: string };
};

export type MadeCommit = { oid: string; /** All that the server lacks of it. */ pack: Uint8Array<ArrayBuffer> };

/** @throws Fault SigningKeyInvalid */
export async function makeCommit({ parent, trees, files, author, atS, message, signing }: CommitJob): Promise<MadeCommit> {
  const { tree, objects } = editedTree(trees, files);
  const who = `${nameOf(author.name)} <${nameOf(author.email)}> ${atS} +0000`;
  const head = `tree ${tree}\nparent ${parent}\nauthor ${who}\ncommitter ${who}\n`;
  const body = `\n${textOf(message)}`;
  const signature = signing ? await signCommit(readSigningKey(signing.type, signing.secret, signing.shown), head + body, signing.shown) : "";
  const header = signature && `gpgsig ${signature.trimEnd().replaceAll("\r", "").replaceAll("\n", "\n ")}\n`;
  const commit: GitObject = { type: "commit", contents: Buffer.from(head + header + body) };
  return { oid: oidOf(commit), pack: new Uint8Array(packOf([commit, ...objects])) };
}

/** @returns the new root, and everything that is new below it */
function editedTree(trees: Trees, files: ReadonlyMap<string, Uint8Array>): { tree: string; objects: GitObject[] } {
  const objects = new Map<string, GitObject>();
  const store = (object: GitObject): string => {
    const oid = oidOf(object);
    objects.set(oid, object);
    return oid;
  };
  const entries = new Map<string, Map<string, string>>(); // by directory: oid by name
  const put = (path: string, oid: string) => {
    const at = path.lastIndexOf("/");
    const directory = path.slice(0, Math.max(at, 0));
    entries.set(directory, (entries.get(directory) ?? new Map()).set(path.slice(at + 1), oid));
  };
  for (const [path, contents] of files) put(path, store({ type: "blob", contents: Buffer.from(contents) }));
  // The deepest first: each directory is an entry of the one above it.
  const depthOf = (directory: string) => (directory === "" ? 0 : directory.split("/").length);
  let tree = "";
  for (let depth = Math.max(...[...entries.keys()].map(depthOf)); depth >= 0; depth--)
    for (const [directory, changed] of [...entries].filter(([each]) => depthOf(each) === depth)) {
      const before = trees.get(directory);
      if (!before) throw new RangeError(`no directory ${JSON.stringify(directory)}`);
      const oid = store({ type: "tree", contents: withEntries(Buffer.from(before), changed) });
      if (directory === "") tree = oid;
      else put(directory, oid);
    }
  return { tree, objects: [...objects.values()] };
}

/** What Git cannot have in a name or an address. */
// oxlint-disable-next-line no-control-regex -- control characters are what it takes out
const nameOf = (text: string): string => text.replaceAll(/[<>\x00-\x1f\x7f]/g, "").trim();

/** As `git commit` leaves a message: one line end at its end, no NUL. */
const textOf = (message: string): string => `${message.replaceAll("\r\n", "\n").replaceAll("\0", "").replaceAll(/^\n+|\s+$/g, "")}\n`;
