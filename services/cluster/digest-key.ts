/**
 * The key under which digests of objects with values from Secrets are kept in NATS: without it, whoever reads NATS could
 * guess a short password and check the guess. It lies in a Secret of the hub, so that all workers have the same
 * (docs/decisions/0010-digests-of-secrets-are-keyed.md).
 */
import { randomBytes } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isConflict, isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { segment } from "./discovery.ts";
import { getSecret } from "./objects.ts";

export const digestKeySecret = "flotilla-digest-key";
const entry = "key";
const keyBytes = 32;
/** Where there is no namespace of Flotilla's own, as with a worker outside of the cluster: it is always there, and no tenant's. */
const otherwise = "kube-system";

/**
 * Read, or made, when it is first asked for, and kept for the life of the process.
 *
 * @param namespace Flotilla's own, on the hub
 * @param alone where there can be no Secret: the key is then this process's alone, and what it renders is compared once with
 * what another one noted; nothing is written for that reason
 */
export function digestKeyOf(client: KubeClient, namespace: string, alone: (why: unknown) => void): () => Promise<Uint8Array> {
  const places = [...new Set([namespace, otherwise])];
  let held: Promise<Uint8Array> | undefined;
  const find = async (): Promise<Uint8Array> => {
    try {
      for (const place of places) {
        const key = await read(client, place);
        if (key) return key; // wherever it was made: a namespace that came later does not make another key
      }
      return await makeIn(client, places);
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code === "ClusterUnreachable") throw thrown;
      alone(thrown);
      return randomBytes(keyBytes);
    }
  };
  return () => (held ??= find().catch((thrown: unknown) => {
    held = undefined;
    throw thrown;
  }));
}

async function makeIn(client: KubeClient, [place = otherwise, ...others]: string[]): Promise<Uint8Array> {
  try {
    // Undefined: somebody else was first.
    return (await make(client, place)) ?? (await read(client, place)) ?? unusable(place);
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.code !== "NamespaceMissing" || others.length === 0) throw thrown;
    return makeIn(client, others);
  }
}

async function read(client: KubeClient, namespace: string): Promise<Uint8Array | undefined> {
  const data = await getSecret(client, namespace, digestKeySecret).catch((thrown: unknown) => {
    if (thrown instanceof Fault && thrown.code === "SecretMissing") return undefined;
    throw thrown;
  });
  if (!data) return undefined;
  const key = data[entry] ?? new Uint8Array();
  return key.length >= keyBytes ? key : unusable(namespace);
}

function unusable(namespace: string): never {
  throw new Fault("ObjectInvalid", `Secret/${namespace}/${digestKeySecret}`, { detail: `its entry ${entry} has fewer than ${keyBytes} bytes; delete it, and the next worker makes another` });
}

/** Undefined: somebody else was first. */
async function make(client: KubeClient, namespace: string): Promise<Uint8Array | undefined> {
  const subject = `Secret/${namespace}/${digestKeySecret}`;
  const key = randomBytes(keyBytes);
  try {
    await client.request({
      method: "POST", path: `/api/v1/namespaces/${segment(namespace)}/secrets`, query: { fieldManager: "flotilla" },
      body: { apiVersion: "v1", kind: "Secret", type: "Opaque", metadata: { name: digestKeySecret, labels: { "app.kubernetes.io/managed-by": "flotilla" } }, data: { [entry]: key.toString("base64") } },
    });
    return new Uint8Array(key);
  } catch (thrown) {
    if (isConflict(thrown)) return undefined;
    if (isNotFound(thrown)) throw new Fault("NamespaceMissing", `Namespace/${namespace}`, { cause: thrown });
    if (thrown instanceof KubeError) throw new Fault("ObjectForbidden", subject, { detail: thrown.message, cause: thrown });
    throw thrown;
  }
}
