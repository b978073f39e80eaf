/** The transit engine of HashiCorp Vault and OpenBao: its decrypt path, with the token of the Secret, or one that the unit's ServiceAccount logs in for. */
import { Buffer } from "node:buffer";
import { KeyError, textOf, type KeyContext, type KeyKind } from "../key-kind.ts";
import { addressOf, answered, keyIn } from "../send.ts";

const entryName = "sops.vault-token";

export const vault: KeyKind = {
  field: "hc_vault",
  name: (entry) => `${textOf(entry, "vault_address")}/v1/${textOf(entry, "engine_path")}/keys/${textOf(entry, "key_name")}`,

  async unwrap(entry, context) {
    const { send, signal } = context;
    const address = addressOf(textOf(entry, "vault_address"), ["https:", "http:"]);
    const path = [...textOf(entry, "engine_path").split("/"), "decrypt", textOf(entry, "key_name")].filter((step) => step !== "");
    if (path.some((step) => /^\.{1,2}$/.test(step))) throw new KeyError("it is not the address of a key");
    const url = new URL(`${address.pathname.replace(/\/+$/, "")}/v1/${path.map(encodeURIComponent).join("/")}`, address).href;
    const token = await tokenFor(textOf(entry, "vault_address"), address, context);
    const headers = { "x-vault-token": token, "x-vault-request": "true", "content-type": "application/json" };
    const { data } = answered(url, await send({ method: "POST", url, headers, body: JSON.stringify({ ciphertext: textOf(entry, "enc") }) }, signal));
    return keyIn(url, (data as { plaintext?: unknown } | undefined)?.plaintext);
  },
};

/** @param named as the file writes the address; the operator's list has it so. */
async function tokenFor(named: string, address: URL, { secret, ask, send, signal, tokens }: KeyContext): Promise<string> {
  const own = Buffer.from(secret[entryName] ?? []).toString().trim();
  if (own !== "") return own;
  const known = tokens.get(named);
  if (known) return known;
  if (!ask) throw new KeyError(`the Secret holds no token of Vault (the key ${entryName})`);
  const { path = "", role = "", jwt = "" } = await ask({ service: "vault", address: named });
  const url = new URL(`${address.pathname.replace(/\/+$/, "")}/v1/${path.split("/").map(encodeURIComponent).join("/")}`, address).href;
  const headers = { "x-vault-request": "true", "content-type": "application/json" };
  const { auth } = answered(url, await send({ method: "POST", url, headers, body: JSON.stringify({ role, jwt }) }, signal));
  const { client_token: token } = (auth ?? {}) as { client_token?: unknown };
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) throw new KeyError(`${address.host} gave no token for the role ${role}`);
  tokens.set(named, token);
  return token;
}
