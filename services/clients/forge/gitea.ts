/** Gitea's API for pull requests, version 1, which Forgejo has too. */
import { fieldsOf, type Api } from "./api.ts";
import type { Forge, PullRequestWanted } from "./forge.ts";
import type { Place } from "./place.ts";
import { readProposal, type Proposal } from "./proposal.ts";

const scheme = "token";
const perPage = 50; // what servers give at most unless told otherwise; some give less
const mostPages = 20;

export function gitea(api: Api, { path }: Place, { head, base, title, body }: PullRequestWanted): Forge {
  const pulls = `repos/${path}/pulls`;
  const isOurs = (each: unknown) => {
    const [from, into] = [fieldsOf(fieldsOf(each)["head"]), fieldsOf(fieldsOf(each)["base"])];
    return from["ref"] === head && into["ref"] === base && from["repo_id"] === into["repo_id"]; // anybody's fork may have such a branch
  };
  return {
    async find() {
      for (let page = 1; page <= mostPages; page++) {
        const { body: found } = await api.call("GET", pulls, { scheme, query: { state: "open", base_branch: base, page: String(page), limit: String(perPage) } });
        const all = [found].flat();
        const open = all.find(isOurs);
        if (open !== undefined) return proposalOf(api, open);
        if (all.length === 0) return undefined;
      }
      return undefined;
    },
    async create() {
      const { status, body: answer } = await api.call("POST", pulls, { scheme, body: { head, base, title, body }, accepted: [404, 409, 422] });
      if (status === 409) return undefined;
      if (status === 404) throw api.fault("PullRequestBranchMissing", `there is no branch ${base}, or none ${head}`); // the repository was found before
      if (status === 422) throw api.fault("PullRequestFailed", "HTTP 422: the server does not accept it");
      return proposalOf(api, answer);
    },
    async update(number) {
      await api.call("PATCH", `${pulls}/${number}`, { scheme, body: { title, body } });
    },
  };
}

function proposalOf(api: Api, value: unknown): Proposal {
  const { html_url: url, number, title, body } = fieldsOf(value);
  return readProposal(api, "Gitea", { url, number, title, body });
}
