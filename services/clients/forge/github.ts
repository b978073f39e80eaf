/** GitHub's API for pull requests, version 2022-11-28. */
import { fieldsOf, textOf, type Api } from "./api.ts";
import type { Forge, PullRequestWanted } from "./forge.ts";
import type { Place } from "./place.ts";
import { readProposal, type Proposal } from "./proposal.ts";

const headers = { accept: "application/vnd.github+json", "x-github-api-version": "2022-11-28" };

export function github(api: Api, { path }: Place, { head, base, title, body }: PullRequestWanted): Forge {
  const pulls = `repos/${path}/pulls`;
  const [owner = ""] = path.split("/");
  return {
    async find() {
      const { body: found } = await api.call("GET", pulls, { headers, query: { state: "open", head: `${owner}:${head}`, base, per_page: "100" } });
      // A filter that a server does not know would give all of them, and anybody's fork may have such a branch.
      const open = [found].flat().find((each) => {
        const [from, into] = [fieldsOf(fieldsOf(each)["head"]), fieldsOf(fieldsOf(each)["base"])];
        return from["ref"] === head && into["ref"] === base && fieldsOf(from["repo"])["id"] === fieldsOf(into["repo"])["id"];
      });
      return open === undefined ? undefined : proposalOf(api, open);
    },
    async create() {
      const { status, body: answer } = await api.call("POST", pulls, { headers, body: { head, base, title, body }, accepted: [422] });
      if (status !== 422) return proposalOf(api, answer);
      const errors = [fieldsOf(answer)["errors"]].flat().map(fieldsOf);
      const says = (beginning: string) => errors.some(({ message }) => textOf(message).startsWith(beginning));
      if (says("A pull request already exists")) return undefined;
      if (says("No commits between")) throw api.fault("PullRequestFailed", `there is nothing in ${head} that is not in ${base}`);
      const missing = errors.find(({ field, code }) => code === "invalid" && (field === "base" || field === "head"));
      if (missing) throw api.fault("PullRequestBranchMissing", `there is no branch ${missing["field"] === "base" ? base : head}`);
      throw api.fault("PullRequestFailed", "HTTP 422: the server does not accept it");
    },
    async update(number) {
      await api.call("PATCH", `${pulls}/${number}`, { headers, body: { title, body } });
    },
  };
}

function proposalOf(api: Api, value: unknown): Proposal {
  const { html_url: url, number, title, body } = fieldsOf(value);
  return readProposal(api, "GitHub", { url, number, title, body });
}
