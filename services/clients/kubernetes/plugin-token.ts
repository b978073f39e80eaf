/** Credentials that a plugin or an identity provider hands out: the one thing `@kubernetes/client-node` is used for. */
import type { RequestOptions } from "node:https";
import { Fault } from "#protocol/errors/fault.ts";

/** The plugin keeps its own cache; asking it this often costs nothing and renews in time. */
const askAgainMs = 30_000;

export function pluginToken(file: string, context: string): () => string | undefined | Promise<string | undefined> {
  let header: string | undefined;
  let askedAtMs = -Infinity;
  let asking: Promise<string | undefined> | undefined;

  const ask = async () => {
    const { KubeConfig } = await import("@kubernetes/client-node");
    const config = new KubeConfig();
    config.loadFromFile(file);
    config.setCurrentContext(context);
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
