/** What a registry says when somebody pushed an artifact, as the addresses that sources of it carry. */

type At = (...path: string[]) => unknown;

const longest = 512;

/** Docker's distribution and those made of it (ACR), Docker Hub, Harbor, Quay, and GitHub's packages. */
export function pushedArtifacts(at: At): string[] {
  const events = [at("events")].flat().slice(0, 100).flatMap((event) => {
    const [host, repository] = [member(event, "request", "host"), member(event, "target", "repository")];
    return host && repository ? [`${host}/${repository}`] : [];
  });
  const [acrHost, acrRepository] = [at("request", "host"), at("target", "repository")];
  const harbor = [at("event_data", "resources")].flat().slice(0, 100).map((resource) => member(resource, "resource_url"));
  const hub = at("repository", "repo_name");
  const names = [
    ...events,
    ...(acrHost && acrRepository ? [`${String(acrHost)}/${String(acrRepository)}`] : []),
    ...(typeof hub === "string" && hub.includes("/") ? [`docker.io/${hub}`, `index.docker.io/${hub}`] : []),
    at("docker_url"),
    at("registry_package", "package_version", "package_url"),
    ...harbor,
  ];
  return names.flatMap((name) => (typeof name === "string" && name.length <= longest && isArtifact(name) ? [`oci://${bare(name)}`] : []));
}

const isArtifact = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?(\/[A-Za-z0-9._-]+)+(:[\w.-]*)?(@[\w:]+)?$/.test(name);

/** Without tag and digest; a port stays. */
const bare = (name: string): string => name.replace(/@.*$/, "").replace(/:[^/]*$/, (tag, offset: number) => (name.slice(offset).includes("/") ? tag : ""));

function member(value: unknown, ...path: string[]): string | undefined {
  for (const step of path) value = typeof value === "object" && value !== null && Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
  return typeof value === "string" ? value : undefined;
}
