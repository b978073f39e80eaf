/** Pull requests at the servers that Git repositories live on. */
import { Fault } from "#protocol/errors/fault.ts";
import { Api, type CallOptions } from "./api.ts";
import { gitea } from "./gitea.ts";
import { github } from "./github.ts";
import { gitlab } from "./gitlab.ts";
import { placeOf } from "./place.ts";
import type { Proposal } from "./proposal.ts";

export const providers = ["github", "gitlab", "gitea"] as const;
export type Provider = (typeof providers)[number];

export type PullRequestWanted = {
  provider: Provider;
  /** The repository as it is cloned: over https, http or ssh. */
  url: string;
  /** Where the API is, when it is not where the provider has it: with its version, as https://git.example.com/api/v3. */
  apiUrl?: string | undefined;
  token: string;
  /** Branches of the repository: what is in `head` is to go into `base`. */
  head: string;
  base: string;
  /** One line, cut at 250 characters; the branch's name when it is empty. */
  title: string;
  /** Cut at 60,000 characters. */
  body: string;
};

/** `url` is for people. */
export type PullRequest = { url: string; number: number; created: boolean };

/** One provider's API. */
export type Forge = {
  /** The open one from `head` into `base`. */
  find(): Promise<Proposal | undefined>;
  /** Undefined: there is an open one, of a moment ago. @throws Fault */
  create(): Promise<Proposal | undefined>;
  update(number: number): Promise<void>;
};

const forges = { github, gitlab, gitea };

/**
 * Opens one, or gives the open one this title and body.
 *
 * @throws Fault PullRequestInvalid, PullRequestDenied, PullRequestRepositoryMissing, PullRequestBranchMissing,
 *   PullRequestRateLimited, PullRequestFailed; UpstreamUnreachable, TimedOut; the signal's reason
 */
export async function ensurePullRequest(asked: PullRequestWanted, options: CallOptions): Promise<PullRequest> {
  const wanted = { ...asked, title: cut(asked.title.trim(), longest.title) || asked.head, body: cut(asked.body, longest.body) };
  const place = placeOf(wanted);
  const forge = forges[wanted.provider](new Api(place, wanted.token, options), place, wanted);
  let open = await forge.find();
  if (!open) {
    const created = await forge.create();
    if (created) return { url: created.url, number: created.number, created: true };
    open = await forge.find(); // somebody else was faster
  }
  if (!open) throw new Fault("PullRequestFailed", place.shown, { detail: "the server says that there is one, and does not show it" });
  if (open.title !== wanted.title || !sameText(open.body, wanted.body)) await forge.update(open.number);
  return { url: open.url, number: open.number, created: false };
}

/** What all three take: Gitea has 255 characters for a title, GitHub 65,536 for a text. */
const longest = { title: 250, body: 60_000 };

const cut = (text: string, characters: number): string => (text.length > characters ? `${text.slice(0, characters - 1).toWellFormed().replace(/\ufffd$/, "")}…` : text);

/** Servers have their own opinion of the ends of lines and of texts. */
const sameText = (one: string, other: string) => [one, other].map((text) => text.replaceAll("\r\n", "\n").trim()).every((text, _, [first]) => text === first);
