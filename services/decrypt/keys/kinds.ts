/** Every kind of holder, loaded when a document asks for it. */
import type { KeyKind } from "./key-kind.ts";

export const keyKinds: Record<string, () => Promise<KeyKind>> = {
  age: async () => (await import("./age/age.ts")).age,
  azure_kv: async () => (await import("./azure-key-vault/azure-key-vault.ts")).azureKeyVault,
  gcp_kms: async () => (await import("./gcp-kms/gcp-kms.ts")).gcpKms,
  hc_vault: async () => (await import("./vault/vault.ts")).vault,
  kms: async () => (await import("./aws-kms/aws-kms.ts")).awsKms,
  pgp: async () => (await import("./pgp/pgp.ts")).pgp,
};
