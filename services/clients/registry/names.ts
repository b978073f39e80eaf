/** Names of repositories, tags and digests, as registries and their clients spell them. */

/** A repository of a registry: `ghcr.io`, `team/manifests`. */
export type Repository = {
  /** Host, with a port where one is given. */
  host: string;
  path: string;
  /** `oci://host/path`, for messages. */
  shown: string;
};

const dockerHub = "index.docker.io";

/**
 * `host/path`, read as docker's clients read it: what is no host is a path at Docker Hub, and there a path of one part is
 * below `library`.
 *
 * @throws RangeError whose message says what is wrong with it
 */
export function parseRepository(text: string): Repository {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const [host, rest] = isHost ? [first, text.slice(slash + 1)] : [dockerHub, text];
  if (!isHostName(host)) throw new RangeError("it names no host");
  if (rest.includes("@")) throw new RangeError("a digest belongs into spec.ref.digest");
  const colon = rest.indexOf(":");
  if (colon >= 0) throw new RangeError(`a tag belongs into spec.ref.tag: remove ${JSON.stringify(rest.slice(colon, colon + 129))}`);
  const server = host === "docker.io" ? dockerHub : host;
  const path = server === dockerHub && !rest.includes("/") ? `library/${rest}` : rest;
  if (path.length > 255 || !/^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/.test(path))
    throw new RangeError("its path is no name of a repository: lower-case letters, digits and single separators");
  return { host: server, path, shown: `oci://${server}/${path}` };
}

const isHostName = (host: string): boolean =>
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(host) && URL.canParse(`https://${host}/`);

export const isTag = (text: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(text);

/** Of the algorithms whose digests can be verified. */
export const isDigest = (text: string): boolean => /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/.test(text);

/** Where the API of a registry is; Docker Hub's is at another host than its name. */
export const apiHost = (host: string): string => (host === dockerHub ? "registry-1.docker.io" : host);

/** Whoever is on this machine needs no certificate. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, "");
  return name === "localhost" || name.endsWith(".localhost") || name === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(name);
}
