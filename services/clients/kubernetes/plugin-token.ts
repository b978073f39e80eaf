/** Credentials that a plugin or an identity provider hands out: the one thing `@kubernetes/client-node` is used for. */
import type { RequestOptions } from "node:https";
import { Fault } from "#protocol/errors/fault.ts";

/** The plugin keeps its own cache; asking it this often costs nothing and renews in time. */
const askAgainMs = 30_000;

/** @param user of a kubeconfig, with `exec` or `auth-provider`; @param file it stands in, for messages */
export function pluginToken(user: Record<string, unknown>, file: string): () => string | undefined | Promise<string | undefined> {
  let header: string | undefined;
  let askedAtMs = -Infinity;
  let asking: Promise<string | undefined> | undefined;

  const ask = async () => {
    const { KubeConfig } = await import("@kubernetes/client-node");
    const config = new KubeConfig();
    config.loadFromOptions({
      clusters: [{ name: "cluster", server: "https://localhost" }],
      users: [{ name: "user", exec: user["exec"], authProvider: user["auth-provider"] }],
      contexts: [{ name: "context", cluster: "cluster", user: "user" }],
      currentContext: "context",
    });
    return async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const headers = options.headers as Record<string, string | undefined> | undefined;
      return headers?.["Authorization"];
    };
  };
  let loaded: ReturnType<typeof ask> | undefined;

  const renew = async () => {
    try {
      const token = await (loaded ??= ask());
      header = await token();
      askedAtMs = performance.now();
      return header;
    } catch (cause) {
      loaded = undefined;
      throw new Fault("ClusterUnreachable", file, { detail: "the credential plugin gave no answer", cause });
    } finally {
      asking = undefined;
    }
  };
  return () => (performance.now() - askedAtMs < askAgainMs ? header : (asking ??= renew()));
}
