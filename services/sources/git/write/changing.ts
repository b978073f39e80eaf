/** A Git repository that takes changes: commits on a branch, pushed with the credentials it is read with. */
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import type { Departure } from "#protocol/messages/image-update.ts";
import type { Arrival, Candidates, Change, ChangeRoute, Changing, SourceCall, Standing } from "#services/sources/define.ts";
import { accessOf } from "../access.ts";
import { parseAddress } from "../address.ts";
import type { GithubApps } from "../github-app.ts";
import type { GitThreads } from "../git-threads.ts";
import type { Limits } from "../limits.ts";
import { Newest } from "../newest.ts";
import { formatRevision, isRefName, readReference, refOf, type GitSpec, type Reference } from "../reference.ts";
import { lookUp } from "../repository.ts";
import { Unlocked } from "../ssh/unlocked.ts";
import { remoteFrom, type Access, type Remote } from "../transport.ts";
import type { Read } from "./candidates.ts";
import type { CommitJob } from "./commit.ts";
import { openReceiver, type Move, type Receiver } from "./receive-pack.ts";

type Call = SourceCall<GitSpec>;

/** From what is checked out to the branch that is pushed to. */
type Route = { reference: Reference; branch: string; isOther: boolean; checkedOut: string };

export function changingGit({ threads, limits, apps }: { threads: GitThreads; limits: Limits; apps: GithubApps }): Changing<GitSpec> {
  const newest = new Newest(threads, limits);
  const unlocked = new Unlocked(threads);
  const open = async (call: Call): Promise<{ access: Access; remote: Remote }> => {
    const access = await accessOf(call, apps);
    return { access, remote: await unlocked.open(remoteFrom(access), access, call.signal) };
  };
  const inTime = <T>({ signal, spec }: Call, work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throwIfAborted(signal, parseAddress(spec.url).shown);
      throw error;
    });

  async function stand(call: Call, route: ChangeRoute): Promise<Standing> {
    const { reference, branch, isOther, checkedOut } = routeOf(call, route);
    const { access, remote } = await open(call);
    const { commit, label } = reference.kind === "commit" ? { commit: reference.commit, label: reference.branch } : await newest.find(reference, access, call.signal);
    const ref = refOf(reference, label);
    const head = ref === heads(branch) ? commit : await headOf(remote, heads(branch), call.signal);
    if (!isOther && head !== commit)
      throw new Fault("PushRejected", remote.address.shown, { detail: `branch ${branch} has moved on from what is checked out: set spec.git.push.branch to another one, or check the branch itself out` });
    const begin = { commit, ref, label, pinned: reference.kind === "commit" };
    return { revision: formatRevision(commit, label), branch, isOther, begin, ...(checkedOut && { checkedOut }), ...(head && { head }) };
  }

  async function candidates(call: Call, { begin, branch, head = "" }: Standing, { on, ...wish }: Parameters<Changing<GitSpec>["candidates"]>[2]): Promise<Candidates> {
    const access = await accessOf(call, apps);
    const wanted = on === "branch" ? { commit: head, ref: heads(branch), pinned: false } : begin;
    const read = await threads.run("candidates", { access, wanted, ...wish, limits }, call.signal);
    const { commit, committedAtS, files } = read;
    const found = { revision: formatRevision(on === "branch" ? begin.commit : commit, begin.label), commit, committedAtS, files };
    reads.set(found, { ...read, access: { url: call.spec.url } });
    return found;
  }

  async function commitOf({ base, ...change }: Change, signal: AbortSignal): Promise<{ commit: string; pack: Uint8Array }> {
    const read = reads.get(base);
    if (!read) throw new RangeError("the files were not read here");
    const { oid, pack } = await threads.run("commit", { access: read.access, parent: base.commit, trees: read.trees, ...change }, signal);
    return { commit: oid, pack };
  }

  async function push(call: Call, departure: Departure, options: Record<string, string>, pack: Uint8Array): Promise<Arrival> {
    const { remote } = await open(call);
    const receiver = await openReceiver(remote, call.signal);
    const moves = movesOf(departure, receiver, remote);
    const left = moves.filter(({ ref, to }) => receiver.heads.get(ref) !== to);
    if (left.length < moves.length || left.some(({ ref, from }) => (receiver.heads.get(ref) ?? null) !== from)) {
      receiver.close();
      return { moved: left.length === moves.length };
    }
    try {
      const refused = await receiver.push({ moves, options: Object.entries(options).map(([key, value]) => `${key}=${value}`), pack });
      const why = refused.map((each) => `${each.ref} was refused: ${each.why}`).join("; ");
      if (refused.some(({ ref }) => ref === heads(departure.branch))) throw new Fault("PushRejected", remote.address.shown, { detail: why });
      return { moved: false, ...(why && { refused: why }) };
    } catch (error) {
      // Whoever was faster is told apart from a server that refuses by where the branch is now.
      if (!(error instanceof Fault) || error.code !== "PushRejected") throw error;
      const head = await headOf(remote, heads(departure.branch), call.signal);
      if ((head ?? null) === departure.from) throw error;
      return { moved: head !== departure.commit };
    }
  }

  return {
    stand: (call, route) => inTime(call, stand(call, route)),
    candidates: (call, route, wish) => inTime(call, candidates(call, route, wish)),
    commit: commitOf,
    has: (call, branch, commit) => inTime(call, accessOf(call, apps).then((access) => threads.run("isThere", { access, ref: heads(branch), commit, limits }, call.signal))),
    push: (call, ...rest) => inTime(call, push(call, ...rest)),
  };
}

const heads = (branch: string): string => `refs/heads/${branch}`;

const headOf = async (remote: Remote, ref: string, signal: AbortSignal): Promise<string | undefined> =>
  (await lookUp(remote, ref, signal)).find(({ name }) => name === ref)?.oid;

/** What a commit is made from, for as long as what was read of it is in use. */
const reads = new WeakMap<Candidates, Read & Pick<CommitJob, "access">>();

/** @throws Fault PushBranchMissing, ReferenceMissing */
function routeOf({ spec }: Call, { ref = spec.ref, branch }: ChangeRoute): Route {
  const { shown } = parseAddress(spec.url);
  const reference = readReference({ ...spec, ref }, shown);
  const checkedOut = ref ? ref.branch || "" : "master"; // what Flux takes where nothing is said at all
  const pushed = branch || ref?.branch;
  if (!pushed) throw new Fault("PushBranchMissing", shown);
  if (!isRefName(pushed)) throw new Fault("PushBranchMissing", shown, { detail: `${JSON.stringify(pushed.slice(0, 100))} is not a name Git allows` });
  return { reference, branch: pushed, isOther: pushed !== checkedOut, checkedOut };
}

/** The branch first. @throws Fault PushRejected for a refspec that is none, or would lose what somebody else put there */
function movesOf({ commit, branch, refspec, from }: Departure, receiver: Pick<Receiver, "heads">, { address: { shown } }: Remote): Move[] {
  const ref = heads(branch);
  const moves: Move[] = [{ ref, from, to: commit }];
  if (!refspec) return moves;
  const [, forced = "", source = "", target = ""] = /^(\+?)([^:]+):([^:]+)$/.exec(refspec) ?? [];
  const refused = (detail: string) => new Fault("PushRejected", shown, { detail: `spec.git.push.refspec ${detail}` });
  if (!isRefName(target) || !target.startsWith("refs/")) throw refused(`is not of the form ${ref}:refs/...`);
  if (source !== ref && source !== "HEAD") throw refused(`has to begin with ${ref}, the branch that the commit is on`);
  const head = receiver.heads.get(target) ?? null;
  if (target === ref || head === commit) return moves;
  if (head !== null && head !== from && !forced) throw refused(`leads to ${target}, which holds commits that the change does not build on; begin it with + to put it in their place`);
  return [...moves, { ref: target, from: head, to: commit }];
}
