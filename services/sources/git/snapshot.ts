/** Fetches one commit and archives it: all the heavy work of a fetch, meant for a thread of its own. */
import { parseTraceparent } from "#protocol/trace/context.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { writeArchive, type ArchiveEntry } from "#services/sources/archive.ts";
import { ignoreFile, ignoreRules } from "#services/sources/ignore.ts";
import { layIncluded, type Content, type Included } from "./lay-included.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import { fetchCommit, gitFault, type Wanted } from "./repository.ts";
import { verifySigned, type Verification } from "./signature/verify.ts";
import { remoteFrom, type Access, type Remote } from "./transport.ts";
import { directoriesOf, never, sparsely, Tree, type File } from "./tree.ts";

export type SnapshotJob = {
  access: Access;
  wanted: Wanted;
  /** The tag that is followed; empty when it is something else. */
  tagName: string;
  verification?: Verification;
  /** spec.sparseCheckout: directories, and nothing beside them. */
  sparse?: string[];
  /** spec.recurseSubmodules. */
  submodules?: boolean;
  /** spec.ignore. */
  ignore?: string;
  /** spec.include. */
  included?: Included[];
  limits: Limits;
};

export type Snapshot = {
  commit: string;
  archive: Uint8Array<ArrayBuffer>;
  subject: string;
  author: string;
  committedAtMs: number;
  traceparent?: string;
  /** What was verified, and by whose key. */
  verified?: string;
};

/** @throws Fault */
export async function snapshot(job: SnapshotJob): Promise<Snapshot> {
  const { access, wanted, tagName, verification, ignore, limits } = job;
  const remote = remoteFrom(access);
  try {
    const received = await fetchCommit(remote, wanted, never, limits);
    const { repository, commit: oid, tag } = received;
    const signed = { commit: { oid, contents: repository.read(oid, "commit").bytes }, tagName, ...(tag && { tag }) };
    const verified = verification && (await verifySigned(signed, verification, remote.address.shown));
    const sparse = directoriesOf(job.sparse ?? []);
    const tree = new Tree(limits, { sparse, submodules: job.submodules === true });
    const own = sparsely(await tree.read(received, access), sparse, remote.address.shown).map(contentOf);
    const files = job.included ? await layIncluded(own, job.included, limits, remote.address.shown) : own;
    const ignored = await rulesOf(files, ignore, limits, remote);
    const kept = files.filter(({ path, kind }) => !ignored(path, kind === "directory"));
    const archive = await writeArchive(entriesOf(kept, limits));
    const { author, committer, message } = repository.commit(oid);
    const traceparent = traceparentOf(message);
    return {
      commit: oid,
      archive,
      subject: subjectOf(message),
      author: `${author.name} <${author.email}>`,
      committedAtMs: committer.atS * 1000,
      ...(traceparent && { traceparent }),
      ...(verified && { verified }),
    };
  } catch (error) {
    throw gitFault(error, remote);
  }
}

export type TimesJob = Pick<SnapshotJob, "access" | "limits"> & { wanted: Wanted[] };

/** When each of the commits was made, in milliseconds: one fetch for each. @throws Fault */
export async function commitTimes({ access, wanted, limits }: TimesJob): Promise<Record<string, number>> {
  const remote = remoteFrom(access);
  const times: Record<string, number> = {};
  for (const each of wanted) {
    const { repository, commit: oid } = await fetchCommit(remote, each, never, limits);
    times[oid] = repository.commit(oid).committer.atS * 1000;
  }
  return times;
}

const contentOf = ({ path, kind, oid, repository }: File): Content => ({
  path,
  kind,
  read: async () => repository.blob(oid),
});

async function rulesOf(files: Content[], own: string | undefined, limits: Limits, remote: Remote) {
  const found = files
    .filter(({ path, kind }) => path.at(-1) === ignoreFile && kind !== "link" && kind !== "directory")
    .sort((a, b) => inWalkOrder(a.path.slice(0, -1), b.path.slice(0, -1)));
  const texts: { directory: string[]; text: string }[] = [];
  for (const { path, read } of found) texts.push({ directory: path.slice(0, -1), text: (await read()).toString() });
  try {
    return ignoreRules(texts, own, limits.patterns);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("IgnoreInvalid", remote.address.shown, { detail: error.message });
  }
}

/** Later rules win: Flux reads a directory's own file, then its subdirectories by name. */
const inWalkOrder = (a: string[], b: string[]) => Buffer.compare(Buffer.from(a.join("\0")), Buffer.from(b.join("\0")));

/** One small object can stand for any number of files: what counts is what the archive would hold. */
function entriesOf(files: Content[], { archivedBytes }: Limits): ArchiveEntry[] {
  let size = 0;
  return files.flatMap(({ path, kind, read }): ArchiveEntry[] => {
    const name = path.join("/");
    if (kind === "link") return [];
    if (kind === "directory") return [{ path: name, kind }];
    const counted = async () => {
      const bytes = await read();
      size += bytes.length;
      if (size > archivedBytes) throw new LimitExceeded(`the files add up to more than ${archivedBytes} bytes`);
      return bytes;
    };
    return [{ path: name, kind, read: counted }];
  });
}

/** First line, 50 characters and then `...`, as Flux puts it into events (fluxcd/pkg git/git.go ShortMessage). */
export function subjectOf(message: string): string {
  const characters = [...(message.split("\n", 1)[0] ?? "")];
  return characters.length > 50 ? `${characters.slice(0, 50).join("")}...` : characters.join("");
}

/** The last valid trailer: it is nearer to this commit than what the message merges or quotes. */
export function traceparentOf(message: string): string | undefined {
  const trailers = message.matchAll(/^trace-?parent:[ \t]*(\S+)[ \t]*$/gim);
  const values = [...trailers].map(([, value = ""]) => value.toLowerCase());
  return values.findLast((value) => parseTraceparent(value) !== undefined);
}
