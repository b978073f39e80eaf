/** What Git's objects say: commits and trees (git: gitformat-pack, "Object types"; git cat-file). */

export type Commit = { tree: string; author: string; committedAtMs: number; message: string };

/** @throws RangeError when it is not a commit */
export function readCommit(data: Buffer): Commit {
  const text = data.toString();
  const end = text.indexOf("\n\n");
  const head = end < 0 ? text : text.slice(0, end);
  const field = (name: string) => new RegExp(`^${name} (.*)$`, "m").exec(head)?.[1] ?? "";
  const tree = field("tree");
  const [, seconds] = /> (-?\d{1,15}) [+-]\d{4}$/.exec(field("committer")) ?? [];
  if (!/^[0-9a-f]{40}$/.test(tree) || seconds === undefined) throw new RangeError("the commit is not readable");
  const author = field("author").replace(/ -?\d+ [+-]\d{4}$/, "");
  return { tree, author, committedAtMs: Number(seconds) * 1000, message: end < 0 ? "" : text.slice(end + 2) };
}

export type TreeEntry = { name: string; kind: "file" | "executable" | "directory" | "link" | "submodule"; id: string };

/** @throws RangeError when it is not a tree, or an entry could leave its directory */
export function readTree(data: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  const names = new Set<string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const end = data.indexOf(0, space);
    const mode = Number.parseInt(data.toString("latin1", at, space), 8);
    const name = data.toString("utf8", space + 1, end);
    const id = data.toString("hex", end + 1, end + 21);
    if (space < 0 || end < 0 || id.length !== 40) throw new RangeError("a directory of the commit is not readable");
    if (name === "" || name === "." || name === ".." || name.includes("/") || names.has(name))
      throw new RangeError("a directory of the commit has an unsafe entry");
    names.add(name);
    entries.push({ name, kind: kindOf(mode), id });
    at = end + 21;
  }
  return entries;
}

function kindOf(mode: number): TreeEntry["kind"] {
  switch (mode & 0o170000) {
    case 0o040000:
      return "directory";
    case 0o120000:
      return "link";
    case 0o160000:
      return "submodule";
    case 0o100000:
      return mode & 0o111 ? "executable" : "file";
    default:
      throw new RangeError("a directory of the commit has an entry of an unknown kind");
  }
}

/** First line, at most 50 characters and then `...`, as Flux puts it into events (fluxcd/pkg git/git.go ShortMessage). */
export function subjectOf(message: string): string {
  const characters = [...(message.split("\n", 1)[0] ?? "")];
  return characters.length > 50 ? `${characters.slice(0, 50).join("")}...` : characters.join("");
}
