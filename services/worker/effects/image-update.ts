/** What the imageUpdate chart asks for: elected images put into the files of a repository, committed and pushed. */
import { createHash } from "node:crypto";
import type { ImageContext } from "#machines/image/machine.ts";
import type { ImageUpdateContext } from "#machines/image-update/machine.ts";
import { isSameImage } from "#machines/rules/image-scan.ts";
import { selectorOf } from "#machines/rules/label-selector.ts";
import { mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import { annotations } from "#protocol/api/annotations.ts";
import { parseDuration } from "#protocol/api/duration.ts";
import { imagePolicy } from "#protocol/api/image-policy.ts";
import { imageUpdateAutomation, type ImageUpdateSpec } from "#protocol/api/image-update-automation.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Edited, Elected, Intent, Proposed, Pushed } from "#protocol/messages/image-update.ts";
import type { ImageReference } from "#protocol/messages/image.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { attribute } from "#protocol/trace/attributes.ts";
import { canonicalUrl, type Traceparent } from "#protocol/trace/context.ts";
import { ensurePullRequest, providers, type Provider } from "#services/clients/forge/forge.ts";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import type { Engine } from "#services/render/engine.ts";
import { renderMessage } from "#services/render/message.ts";
import { applySetters, mayHoldMarkers, type SetterNotice, type Updated } from "#services/render/setters.ts";
import type { AnySource, Candidates, Changing, SourceCall, Standing } from "#services/sources/define.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import { childOf, freshTraceparent } from "#services/telemetry/ids.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import { digestOf } from "../digest.ts";
import { declared, type RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { identityOf } from "./cloud-identity.ts";
import { shown, type Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type ImageUpdatePorts = {
  kinds: Record<string, AnySource>;
  hub: HubObjects;
  artifacts: Pick<ArtifactStore, "get" | "put" | "has" | "retain" | "remove">;
  /** Of any actor, wherever it is hosted. */
  recordOf(key: ActorKey): Promise<ActorRecord | undefined>;
  engine: Engine;
  tenancy: Tenancy;
  spans: Pick<Spans, "recordSpan">;
  clock: Clock;
  /** Throws Fault LeaseLost when this worker may not act for the object now. */
  guard(key: ActorKey): void;
  /** Sources have no identity in a cloud when absent. */
  clouds?: Clouds | undefined;
  kindOf(actorKind: string): string;
};

const mark = '"$imagepolicy"';
const mostAtOnce = 16;
const proposalMs = 60_000;
/** Of what is told about files: more would fill an event. */
const mostRemarks = 10;

type Policy = ImageReference & { policy: string; traceparent: Traceparent };

/** What one run has found out so far. */
type Run = {
  call: EffectCall;
  spec: ImageUpdateSpec & { git: NonNullable<ImageUpdateSpec["git"]> };
  policies: Policy[];
  changing: Changing<unknown>;
  /** The source, with a time limit of its own for each question. */
  source(): SourceCall<unknown>;
  url: string;
};

export function imageUpdateEffects({ kinds, hub, artifacts, recordOf, engine, tenancy, spans, clock, guard, clouds, kindOf }: ImageUpdatePorts): Effects {
  const nameOf = (key: ActorKey) => shown(kindOf(key.kind), key);

  /** @throws Fault GitSpecMissing, PolicySelectorInvalid, AccessDenied, SourceMissing */
  async function open(call: EffectCall): Promise<Run> {
    const { key } = call;
    const { spec } = imageUpdateAutomation.parse(declared(await hub.need(key)));
    const policies = await electedBy(call, spec);
    const { git } = spec;
    if (!git) throw new Fault("GitSpecMissing", nameOf(key));
    return { call, spec: { ...spec, git }, policies, ...(await sourceOf(call, spec)) };
  }

  /** Those of its own namespace that elect something, by name. */
  async function electedBy({ key }: EffectCall, { policySelector }: ImageUpdateSpec): Promise<Policy[]> {
    const isWanted = selecting(policySelector ?? {}, nameOf(key));
    const objects = (await hub.list("imagepolicy", key.namespace)).filter(({ metadata }) => isWanted(metadata.labels ?? {}));
    const found: Policy[] = [];
    for (let at = 0; at < objects.length; at += mostAtOnce)
      for (const each of await Promise.all(objects.slice(at, at + mostAtOnce).map(electionOf))) if (each) found.push(each);
    return found.sort((a, b) => (a.policy < b.policy ? -1 : 1));
  }

  /** As its actor knows it: its status comes a moment later. */
  async function electionOf({ metadata: { namespace = "", name, uid }, status }: RawObject): Promise<Policy | undefined> {
    const record = await recordOf({ kind: "imagepolicy", namespace, name });
    const { election, traceparent = "", facts } = (record?.snapshot.context ?? {}) as Partial<ImageContext>;
    const known = facts?.uid === uid ? election?.latest : undefined;
    const latest = known ?? imagePolicy.status.safeParse(status ?? {}).data?.latestRef;
    return latest && { policy: name, name: latest.name, tag: latest.tag, ...(latest.digest && { digest: latest.digest }), traceparent };
  }

  async function sourceOf({ key, signal }: EffectCall, { sourceRef }: ImageUpdateSpec): Promise<Pick<Run, "changing" | "source" | "url">> {
    const at = { kind: sourceRef.kind.toLowerCase(), namespace: sourceRef.namespace || key.namespace, name: sourceRef.name };
    const subject = shown(sourceRef.kind, at);
    if (!mayRefer(key, at.namespace, tenancy))
      throw new Fault("AccessDenied", nameOf(key), { detail: `can't access '${subject}', cross-namespace references have been blocked` });
    const object = await hub.find(at);
    if (!object) throw new Fault("SourceMissing", subject, { detail: "referenced git repository does not exist" });
    const { changing } = kinds[at.kind] ?? {};
    if (!changing) throw new Fault("Unexpected", subject, { detail: "no such kind of source" });
    const { url = "", timeout = "60s" } = (object["spec"] ?? {}) as { url?: string; timeout?: string };
    const timeoutMs = parseDuration(timeout);
    const source = (): SourceCall<unknown> => ({
      key: at,
      spec: object["spec"],
      secret: (name) => hub.secret(at.namespace, name),
      ...(clouds && { identity: (named) => identityOf(clouds, at, named, tenancy) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    return { changing, source, url: canonicalUrl(url) };
  }

  async function edit(call: EffectCall): Promise<Edited> {
    const context = call.context as unknown as ImageUpdateContext;
    const run = await open(call);
    const { spec: { git }, changing } = run;
    const standing = await changing.stand(run.source(), { ref: git.checkout?.ref, branch: git.push?.branch });
    const elected: Elected = Object.fromEntries(run.policies.map(({ policy, traceparent: _, ...image }) => [policy, image]));
    const ranAt = timestamp(clock.nowMs());
    const hasArrived = context.intent !== null && (await isThere(run, standing, context.intent));
    const seen = { revision: standing.revision, elected, ranAt, ...(standing.isOther && standing.head && { head: standing.head }), ...(hasArrived && { arrivedAt: ranAt }) };
    if (isUnchanged(context, standing, elected)) return { ...seen, remarks: context.remarks ? [context.remarks] : [] };

    const last = hasArrived ? context.intent : context.last;
    const { base, updated, isOnBranch } = await update(run, standing, last?.commit === standing.head && !last?.isOnBranch);
    const remarks = remarksOf(updated.notices);
    const now = { ...seen, revision: base.revision, remarks };
    if (updated.files.size === 0) return now;
    const before = hasArrived ? null : context.intent;
    const observed = (hasArrived ? context.intent?.elected : context.observed?.elected) ?? {};
    return { ...now, intent: await intend(run, standing, { base, updated, isOnBranch, before, causes: causesOf(run.policies, observed), elected }) };
  }

  /** Whether the commit that was on its way has come there, though others may have pushed since. */
  async function isThere({ changing, source }: Run, { branch, head }: Standing, intent: Intent): Promise<boolean> {
    if (intent.branch === branch && head === intent.commit) return true;
    if (intent.branch === branch && (head ?? null) === intent.from) return false;
    return changing.has(source(), intent.branch, intent.commit);
  }

  /**
   * The files of another branch are looked at where it is. What it holds of ours alone is then made anew on what is checked
   * out; what somebody else put there is built on.
   */
  async function update(run: Run, standing: Standing, isOurs: boolean): Promise<{ base: Candidates; updated: Updated; isOnBranch: boolean }> {
    const { spec, changing, source, policies, call } = run;
    const wish = { path: spec.update.path ?? "", names: /\.ya?ml$|^Kustomization$/, mark };
    const images = new Map(policies.map(({ policy, ...image }) => [`${call.key.namespace}:${policy}`, image]));
    const of = async (on: "branch" | "beginning") => {
      const base = await changing.candidates(source(), standing, { on, ...wish });
      const files = new Map([...base.files].filter(([path]) => mayHoldMarkers(path)));
      return { base, updated: await applySetters(files, images, optionsOf(call)), isOnBranch: on === "branch" };
    };
    const isOther = standing.isOther && standing.head !== undefined;
    const first = await of(isOther ? "branch" : "beginning");
    return isOther && isOurs && first.updated.files.size > 0 ? of("beginning") : first;
  }

  type Made = { base: Candidates; updated: Updated; isOnBranch: boolean; before: Intent | null; causes: Traceparent[]; elected: Elected };

  /** The commit, kept where whoever pushes it finds it. */
  async function intend(run: Run, standing: Standing, { base, updated, isOnBranch, before, causes, elected }: Made): Promise<Intent> {
    const { call, call: { key }, spec: { git }, changing, url } = run;
    const { commit: { author, messageTemplate = "", messageTemplateValues: values = {}, signingKey }, push } = git;
    const data = { automation: { namespace: key.namespace, name: key.name }, changes: updated.changes, values };
    const isProposed = (await hub.need(key)).metadata.annotations?.[annotations.pullRequest] !== undefined;
    const message = await renderMessage(messageTemplate, data, optionsOf(call));
    const signing = signingKey && { type: signingKey.type ?? ("gpg" as const), secret: await keyOf(key, signingKey.secretRef.name), shown: `Secret/${key.namespace}/${signingKey.secretRef.name}` };
    const { branch, isOther, checkedOut, head } = standing;
    const from = isOther ? (head ?? null) : base.commit;
    const contents = [...updated.files].map(([path, bytes]) => [path, digestOf(bytes)]);
    const madeOf = digest([base.commit, contents, message, author, branch, push?.refspec, from, signing && Object.entries(signing.secret).map(([name, bytes]) => [name, digestOf(bytes)])]);
    if (before?.madeOf === madeOf && (await artifacts.has(before.pack.path))) return { ...before, elected, revision: base.revision };

    const [cause = ""] = causes;
    const traceparent = cause ? childOf(cause, `update ${folderOf(key)} ${madeOf}`) : freshTraceparent();
    const atS = Math.max(Math.floor(clock.nowMs() / 1000), base.committedAtS);
    const { commit, pack } = await changing.commit({ base, files: updated.files, author: { name: author.name ?? "", email: author.email }, atS, message: withTrailer(message, traceparent), ...(signing && { signing }) }, call.signal);
    const { path, digest: packDigest } = await artifacts.put(`${folderOf(key)}/${commit}.pack`, pack);
    await artifacts.retain(folderOf(key), [path], () => guard(key));
    spans.recordSpan({
      name: `update ${branch}@${commit.slice(0, 7)}`, traceparent, ...(cause && { parent: cause }), links: causes.slice(1), startMs: call.run.sinceMs, endMs: clock.nowMs(),
      attributes: { [attribute.unit]: folderOf(key), [attribute.revision]: commit, [attribute.refName]: branch, "gitops.images.changed": updated.changes.length },
    });
    return { commit, branch, refspec: push?.refspec, ...(isProposed && { proposes: { base: (isOther && checkedOut) || "" } }), from, url, isOther, isOnBranch, madeOf, message, pack: { path, digest: packDigest }, revision: base.revision, elected, traceparent };
  }

  /** @throws Fault SigningKeyInvalid */
  const keyOf = (key: ActorKey, name: string): Promise<Record<string, Uint8Array>> =>
    hub.secret(key.namespace, name).catch((error: unknown) => {
      if (!(error instanceof Fault) || error.code !== "SecretMissing") throw error;
      throw new Fault("SigningKeyInvalid", `Secret/${key.namespace}/${name}`, { detail: "there is no such Secret" });
    });

  async function push(call: EffectCall): Promise<Pushed> {
    const { key } = call;
    const { intent } = call.context as unknown as ImageUpdateContext;
    if (!intent) return { moved: true };
    const { spec: { git }, changing, source } = await open(call);
    const pack = await artifacts.get(intent.pack.path, { digest: intent.pack.digest }).catch((error: unknown) => {
      if (error instanceof Fault && (error.code === "ArtifactMissing" || error.code === "ArtifactCorrupt")) return undefined;
      throw error;
    });
    if (!pack) return { moved: true }; // it is looked whether it arrived, and made anew otherwise
    guard(key);
    const arrival = await changing.push(source(), intent, git.push?.options ?? {}, pack);
    if (arrival.moved) return { moved: true };
    const nowMs = clock.nowMs();
    spans.recordSpan({
      name: `push ${intent.branch}`, parent: intent.traceparent, startMs: call.run.sinceMs, endMs: nowMs,
      attributes: { [attribute.unit]: folderOf(key), [attribute.repositoryUrl]: intent.url, [attribute.revision]: intent.commit },
    });
    return { moved: false, at: timestamp(nowMs), ...(arrival.refused && { refused: arrival.refused }) };
  }

  async function propose(call: EffectCall): Promise<Proposed | null> {
    const { key, signal } = call;
    const { proposal } = call.context as unknown as ImageUpdateContext;
    const wanted = readProposal((await hub.need(key)).metadata.annotations, nameOf(key));
    if (!proposal?.proposes || !wanted) return null;
    const { base } = proposal.proposes;
    if (!base) throw new Fault("PullRequestInvalid", nameOf(key), { detail: "a pull request needs a branch that is checked out, and another that is pushed to: set spec.git.push.branch" });
    const secret = await hub.secret(key.namespace, wanted.secret).catch((error: unknown) => {
      if (!(error instanceof Fault) || error.code !== "SecretMissing") throw error;
      throw new Fault("PullRequestDenied", `Secret/${key.namespace}/${wanted.secret}`, { detail: "there is no such Secret" });
    });
    const [token = "", ca = ""] = ["token", "ca.crt"].map((name) => Buffer.from(secret[name] ?? []).toString().trim());
    const [title = "", ...body] = proposal.message.split("\n");
    return ensurePullRequest(
      { provider: wanted.provider, apiUrl: wanted.apiUrl, token, url: proposal.url, head: proposal.branch, base, title, body: body.join("\n").trim() },
      { peer: { identity: digest([token, ca]), ...(ca && { ca }) }, signal: AbortSignal.any([signal, AbortSignal.timeout(proposalMs)]) },
    );
  }

  const optionsOf = ({ key, signal }: EffectCall) => ({ engine, subject: nameOf(key), signal });

  return {
    adopt: ({ key }) => hub.addFinalizer(key),
    edit,
    push,
    propose,
    async remove({ key }) {
      await artifacts.remove(folderOf(key), () => guard(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };
}

/** What the annotations ask for. @throws Fault PullRequestInvalid */
function readProposal(written: Record<string, string> = {}, subject: string): { provider: Provider; secret: string; apiUrl?: string } | undefined {
  const { [annotations.pullRequest]: name, [annotations.pullRequestSecret]: secret, [annotations.pullRequestApi]: apiUrl } = written;
  if (name === undefined) return undefined;
  const provider = providers.find((each) => each === name);
  if (!provider) throw new Fault("PullRequestInvalid", subject, { detail: `${annotations.pullRequest} is none of ${providers.join(", ")}` });
  if (!secret) throw new Fault("PullRequestInvalid", subject, { detail: `${annotations.pullRequestSecret} names no Secret` });
  return { provider, secret, ...(apiUrl && { apiUrl }) };
}

/** Nobody moved what was looked at last, and no policy elects another image. */
function isUnchanged({ observed, intent, fault, facts, observedGeneration, proposal }: ImageUpdateContext, { revision, isOther, head }: Standing, elected: Elected): boolean {
  if (!observed || intent || fault || proposal || observedGeneration !== facts?.generation) return false;
  const isSame = observed.revision === revision && (!isOther || observed.head === head);
  const names = Object.keys(elected);
  return isSame && names.length === Object.keys(observed.elected).length && names.every((name) => isEqual(observed.elected[name], elected[name]));
}

const isEqual = (one: ImageReference | undefined, other: ImageReference | undefined): boolean => one !== undefined && other !== undefined && isSameImage(one, other);

/** Where the traces of the news go on, that a change follows from. */
function causesOf(policies: Policy[], before: Elected): Traceparent[] {
  const changed = policies.filter(({ policy, ...image }) => !isEqual(before[policy], image));
  return [...new Set((changed.length > 0 ? changed : policies).map(({ traceparent }) => traceparent).filter(Boolean))];
}

/** @throws Fault PolicySelectorInvalid */
function selecting(selector: NonNullable<ImageUpdateSpec["policySelector"]>, subject: string) {
  try {
    return selectorOf(selector);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("PolicySelectorInvalid", subject, { detail: error.message });
  }
}

/** At the end of the message, beside the trailers that are there already. */
export function withTrailer(message: string, traceparent: Traceparent): string {
  const text = message.trimEnd();
  const last = text.slice(text.lastIndexOf("\n\n") + 1).trim();
  const isTrailers = text.includes("\n\n") && last.split("\n").every((line) => /^[A-Za-z0-9-]+: /.test(line));
  return `${text}${isTrailers ? "\n" : "\n\n"}Traceparent: ${traceparent}\n`;
}

function remarksOf(notices: SetterNotice[]): string[] {
  const texts = notices.map(({ file, line, code, detail }) => `${file}${line === undefined ? "" : `:${line}`}: ${meanings[code]}: ${detail}`);
  return texts.length > mostRemarks ? [...texts.slice(0, mostRemarks), `and ${texts.length - mostRemarks} more`] : texts;
}

const meanings: Record<SetterNotice["code"], string> = {
  unknown: "the marker names no policy of this namespace that has elected an image, so the value stays; correct the name, or see the policy",
  malformed: "the marker cannot be read, so the value stays",
  stray: "the marker stands beside no value",
  noDigest: "the policy has no digest, so the value is empty now; set spec.digestReflectionPolicy of the policy",
  unread: "a part of the file is not read, and stays as it is",
  unreadable: "the file cannot be read and stays as it is",
  tooLarge: "the file is too large and stays as it is",
};

const folderOf = ({ kind, namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;
const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const digest = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");
