/** Google Cloud KMS: its decrypt method, with the account of the Secret: a service account's key, or a user's login; or with the unit's identity. */
import { Buffer } from "node:buffer";
import { createSign } from "node:crypto";
import { credentialsIn, type Credentials } from "../credentials.ts";
import { KeyError, textOf, type KeyContext, type KeyKind } from "../key-kind.ts";
import { addressOf, answered, keyIn, type KeyRequest } from "../send.ts";

const entryName = "sops.gcp-kms";

export const gcpKms: KeyKind = {
  field: "gcp_kms",
  name: (entry) => textOf(entry, "resource_id"),

  async unwrap(entry, context) {
    const id = textOf(entry, "resource_id");
    if (!/^projects\/[\w.:-]+\/locations\/[\w-]+\/keyRings\/[\w-]+\/cryptoKeys\/[\w-]+$/.test(id)) throw new KeyError("it is not the resource of a key");
    const { token = "" } = context.ask && !context.secret[entryName]
      ? await context.ask({ service: "gcp" })
      : { token: await accessToken(credentialsIn(context.secret, entryName, "Google Cloud"), context) };
    const url = `https://cloudkms.googleapis.com/v1/${id}:decrypt`;
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await context.send({ url, headers, body: JSON.stringify({ ciphertext: textOf(entry, "enc") }) }, context.signal);
    return keyIn(url, answered(url, answer, ["error", "status"])["plaintext"]);
  },
};

const scope = "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/cloudkms";
const lifetimeS = 3_600;

async function accessToken(text: Credentials, context: KeyContext): Promise<string> {
  const request = tokenRequest(text, context.nowMs());
  const { access_token: token } = answered(request.url, await context.send(request, context.signal), ["error"]);
  if (typeof token !== "string" || token === "") throw new KeyError("the account got no token");
  return token;
}

function tokenRequest(text: Credentials, nowMs: number): KeyRequest {
  const url = addressOf(text("token_uri") || "https://oauth2.googleapis.com/token", ["https:"]).href;
  const form = (fields: Record<string, string>): KeyRequest =>
    ({ url, headers: { "content-type": "application/x-www-form-urlencoded" }, body: new URLSearchParams(fields).toString() });
  switch (text("type")) {
    case "service_account": return form({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: assertion(text, url, nowMs) });
    case "authorized_user":
      return form({ grant_type: "refresh_token", client_id: text("client_id"), client_secret: text("client_secret"), refresh_token: text("refresh_token") });
    default: throw new KeyError(`${entryName} of the Secret is neither of the type service_account nor authorized_user`);
  }
}

/** A statement that the account's key has signed. */
function assertion(text: Credentials, audience: string, nowMs: number): string {
  const issuedS = Math.floor(nowMs / 1000);
  const parts = [{ alg: "RS256", typ: "JWT", kid: text("private_key_id") }, { iss: text("client_email"), scope, aud: audience, iat: issuedS, exp: issuedS + lifetimeS }];
  const statement = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  try {
    return `${statement}.${createSign("RSA-SHA256").update(statement).sign(text("private_key"), "base64url")}`;
  } catch {
    throw new KeyError(`private_key in ${entryName} of the Secret is not a private key`);
  }
}
