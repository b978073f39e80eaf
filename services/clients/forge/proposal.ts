/** What GitHub and Gitea call a pull request, and GitLab a merge request. */
import { textOf, type Api } from "./api.ts";

export type Proposal = { url: string; number: number; title: string; body: string };

/** @throws Fault PullRequestFailed for what no such API would answer */
export function readProposal(api: Pick<Api, "fault">, provider: string, { url, number, title, body }: Record<keyof Proposal, unknown>): Proposal {
  if (!Number.isSafeInteger(number)) throw api.fault("PullRequestFailed", `the answer is none of ${provider}'s API`);
  return { url: textOf(url), number: Number(number), title: textOf(title), body: textOf(body) };
}
