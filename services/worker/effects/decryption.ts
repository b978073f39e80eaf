/** Whose keys and identity decrypt a unit's files, and what of that its render depends on. */
import { load } from "js-yaml";
import * as z from "zod";
import { isAccountName } from "#machines/rules/tenancy.ts";
import type { Kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import type { Decryptor, ReadKeys } from "#services/decrypt/decryptor.ts";
import type { AskGrant, Grant } from "#services/decrypt/keys/grants.ts";
import type { Decryption } from "#services/render/decryption.ts";
import { parseJson } from "#services/render/json.ts";

export type SecretName = { namespace: string; name: string };

export type DecryptionPorts = {
  decryptor: Pick<Decryptor, "openFiles" | "openObjects" | "ignoreMac">;
  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>>;
  /** Age keys for units that name no Secret of their own. */
  ageSecret?: SecretName | undefined;
  /** Identities of ServiceAccounts; units have none when absent. */
  clouds?: Clouds | undefined;
  /** ServiceAccount of units that name none. */
  defaultAccount?: string | undefined;
  /** Where there is no account either, clouds' key services are asked as the worker itself, as Flux does. */
  ownIdentity?: boolean | undefined;
  /** Vaults that the operator trusts with ServiceAccounts' tokens: a ConfigMap, as with Flux. */
  vaults?: (SecretName & { read(namespace: string, name: string): Promise<Record<string, Uint8Array> | undefined> }) | undefined;
};

/** Undefined when the unit asks for none. */
export function decryptionOf(unit: ActorKey, { decryption }: Kustomization["spec"], ports: DecryptionPorts): Decryption | undefined {
  if (!decryption) return undefined;
  const { decryptor, ageSecret } = ports;
  const ask = grantsOf(unit, decryption.serviceAccountName || ports.defaultAccount, ports);
  const own = decryption.secretRef && { namespace: unit.namespace, name: decryption.secretRef.name };
  const read: ReadKeys = async () => {
    if (own) return readKeys(own, ports);
    if (!ageSecret) return {};
    const all = await readKeys(ageSecret, ports);
    // Whoever shares it lends age keys, not accounts of a cloud.
    return Object.fromEntries(Object.entries(all).filter(([name]) => name.endsWith(".agekey")));
  };
  return {
    // Of the Secret its name, not its version: new keys open what is new, and what is there was opened.
    settings: { provider: decryption.provider, secret: own ?? ageSecret ?? null, ignoreMac: decryptor.ignoreMac },
    openFiles: (build, signal) => decryptor.openFiles(build, read, signal, ask?.(signal)),
    openObjects: (built, signal) => decryptor.openObjects({ ...built, parse: parseJson }, read, signal, ask?.(signal)),
  };
}

async function readKeys({ namespace, name }: SecretName, { secret }: DecryptionPorts): Promise<Record<string, Uint8Array>> {
  try {
    return await secret(namespace, name);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "SecretMissing") throw new Fault("DecryptionSecretMissing", `Secret/${namespace}/${name}`, { detail: "not found" });
    throw thrown;
  }
}

/**
 * What the unit's ServiceAccount may have of key services, where its Secret has no credentials. Without an account there is
 * nothing: the worker's own identity opens a tenant's file only where the operator says so.
 *
 * @throws Fault InvalidObject for a name that no ServiceAccount has
 */
function grantsOf({ kind, namespace, name }: ActorKey, named: string | undefined, { clouds, vaults, ownIdentity = false }: DecryptionPorts): ((signal: AbortSignal) => AskGrant) | undefined {
  if (!clouds || (!named && !ownIdentity)) return undefined;
  const shown = `${kind}/${namespace}/${name}`;
  if (named && !isAccountName(named)) throw new Fault("InvalidObject", shown, { detail: "spec.decryption.serviceAccountName is not the name of a ServiceAccount" });
  const identity = clouds.as(named ? { namespace, name: named } : undefined);
  return (signal) => async (question): Promise<Grant> => {
    const asking = { shown: named ? `ServiceAccount/${namespace}/${named}` : "the worker", signal };
    switch (question.service) {
      case "aws": return (await identity.aws(question.region, asking)).value;
      case "azure": return { token: (await identity.azure(question.scope, asking)).value };
      case "gcp": return { token: (await identity.gcp(asking)).value };
      case "vault": {
        if (!named) throw new Error("the Secret holds no token of Vault, and no ServiceAccount is named that could log in");
        const path = vaults && (await loginPathOf(question.address, vaults));
        if (!path) throw new Error("the Secret holds no token of Vault, and the address is not among those of --sops-vault-configmap");
        return { path, role: `${namespace}_${named}`, jwt: (await identity.hub([question.address], asking)).value };
      }
    }
  };
}

/** `config.yaml` of the operator's ConfigMap, as Flux has it: only these addresses get a ServiceAccount's token. */
async function loginPathOf(address: string, { namespace, name, read }: NonNullable<DecryptionPorts["vaults"]>): Promise<string | undefined> {
  const data = await read(namespace, name);
  const refused = (what: string) => new Error(`ConfigMap/${namespace}/${name} of --sops-vault-configmap ${what}`);
  if (!data) throw refused("is not there");
  const { success, data: config } = vaultConfig.safeParse(yamlOf(Buffer.from(data["config.yaml"] ?? []).toString()));
  if (!success) throw refused("holds no config.yaml with instances of address and loginPath");
  return config.instances.find((each) => each.address === address)?.loginPath;
}

const vaultConfig = z.object({ instances: z.array(z.object({ address: z.string(), loginPath: z.string().regex(/^[\w.@-]*[\w@-](\/[\w.@-]*[\w@-])*$/) })) });

function yamlOf(text: string): unknown {
  try {
    return load(text);
  } catch {
    return undefined;
  }
}
