/** GitLab's API for merge requests, version 4. */
import { fieldsOf, type Api } from "./api.ts";
import type { Forge, PullRequestWanted } from "./forge.ts";
import type { Place } from "./place.ts";
import { readProposal, type Proposal } from "./proposal.ts";

export function gitlab(api: Api, { path }: Place, { head, base, title, body }: PullRequestWanted): Forge {
  const project = `projects/${encodeURIComponent(path)}`;
  const requests = `${project}/merge_requests`;
  return {
    async find() {
      const { body: found } = await api.call("GET", requests, { query: { state: "opened", source_branch: head, target_branch: base } });
      const open = [found].flat().map(fieldsOf).find((each) =>
        each["source_branch"] === head && each["target_branch"] === base && each["source_project_id"] === each["target_project_id"]); // anybody's fork may have such a branch
      return open === undefined ? undefined : proposalOf(api, open);
    },
    async create() {
      // A merge request into a branch that is not there would be opened all the same.
      const { status: there } = await api.call("GET", `${project}/repository/branches/${encodeURIComponent(base)}`, { accepted: [404] });
      if (there === 404) throw api.fault("PullRequestBranchMissing", `there is no branch ${base}`);
      const { status, body: answer } = await api.call("POST", requests, { body: { source_branch: head, target_branch: base, title, description: body }, accepted: [409, 422, 400] });
      if (status === 409) return undefined;
      if (status === 400 || status === 422) throw api.fault("PullRequestFailed", `HTTP ${status}: the server does not accept it`);
      return proposalOf(api, answer);
    },
    async update(number) {
      await api.call("PUT", `${requests}/${number}`, { body: { title, description: body } });
    },
  };
}

function proposalOf(api: Api, value: unknown): Proposal {
  const { web_url: url, iid: number, title, description: body } = fieldsOf(value);
  return readProposal(api, "GitLab", { url, number, title, body });
}
