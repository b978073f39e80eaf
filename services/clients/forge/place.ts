/** Where a repository's API is, from how the repository is cloned. */
import { Fault } from "#protocol/errors/fault.ts";
import type { Provider } from "./forge.ts";

export type Place = {
  /** With a slash at the end. */
  api: URL;
  /** Without .git: `owner/name`, at GitLab with groups in front. */
  path: string;
  /** The repository, for messages. */
  shown: string;
};

/** @throws Fault PullRequestInvalid */
export function placeOf({ provider, url, apiUrl }: { provider: Provider; url: string; apiUrl?: string | undefined }): Place {
  const refused = (detail: string) => new Fault("PullRequestInvalid", provider, { detail });
  const repository = URL.parse(url.replace(/^(?:[^/@:]+@)?([^/:]+):(?!\/)/, "ssh://$1/"));
  if (!repository || !/^(?:https?|ssh):$/.test(repository.protocol)) throw refused("the repository's URL is none of https, http and ssh");
  const path = repository.pathname.replace(/^\/+|\/+$/g, "").replace(/\.git$/, "");
  const names = path.split("/");
  if (names.length < 2 || (provider !== "gitlab" && names.length > 2) || !names.every((name) => /^[\w.-]+$/.test(name) && !/^\.\.?$/.test(name)))
    throw refused("the repository's URL has no path of an owner and a name");
  const shown = `${repository.host}/${path}`;
  const isHttp = repository.protocol !== "ssh:";
  const origin = isHttp ? repository.origin : `https://${repository.hostname}`; // a port of SSH is none of HTTP
  const api = URL.parse(`${(apiUrl ?? defaultApi(provider, repository.hostname, origin)).replace(/\/+$/, "")}/`);
  if (!api || !/^https?:$/.test(api.protocol) || api.username !== "" || api.search !== "" || api.hash !== "") throw refused("the API's URL is no URL of https or http");
  return { api, path, shown };
}

function defaultApi(provider: Provider, host: string, origin: string): string {
  if (provider === "github") return host === "github.com" || host === "ssh.github.com" ? "https://api.github.com" : `${origin}/api/v3`;
  return `${origin}/api/${provider === "gitlab" ? "v4" : "v1"}`;
}
