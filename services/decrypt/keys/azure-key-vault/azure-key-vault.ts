/** Azure Key Vault: its decrypt operation, in the name of an application with a secret or a certificate, or of the unit's identity. */
import { Buffer } from "node:buffer";
import { constants, createHash, randomUUID, sign, X509Certificate } from "node:crypto";
import { credentialsIn, type Credentials } from "../credentials.ts";
import { KeyError, textOf, type KeyContext, type KeyKind } from "../key-kind.ts";
import { addressOf, answered, keyIn } from "../send.ts";

const entryName = "sops.azure-kv";

export const azureKeyVault: KeyKind = {
  field: "azure_kv",
  name: (entry) => `${textOf(entry, "vault_url")}/keys/${textOf(entry, "name")}/${textOf(entry, "version")}`,

  async unwrap(entry, context) {
    const vault = addressOf(textOf(entry, "vault_url"), ["https:"]);
    // Whoever writes the file chooses the address; the token must not go anywhere else than to a vault.
    const service = services.find((domain) => vault.hostname.endsWith(`.${domain}`));
    const [name, version] = [textOf(entry, "name"), textOf(entry, "version")];
    if (!service || vault.port !== "" || !/^[\w-]+$/.test(name) || !/^\w*$/.test(version)) throw new KeyError("it is not the address of a key");
    const scope = `https://${service}/.default`;
    const { token = "" } = context.ask && !context.secret[entryName]
      ? await context.ask({ service: "azure", scope })
      : { token: await accessToken(credentialsIn(context.secret, entryName, "Azure"), scope, context) };
    const url = `https://${vault.host}/keys/${name}/${version}${version && "/"}decrypt?api-version=7.4`;
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await context.send({ url, headers, body: JSON.stringify({ alg: "RSA-OAEP-256", value: textOf(entry, "enc") }) }, context.signal);
    return keyIn(url, answered(url, answer, ["error", "code"])["value"], "base64url");
  },
};

const services = [
  "vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "vault.microsoftazure.de", "managedhsm.azure.net", "managedhsm.azure.cn", "managedhsm.usgovcloudapi.net",
];

async function accessToken(text: Credentials, scope: string, context: KeyContext): Promise<string> {
  const tenant = text("tenantId") || text("tenant");
  const client = text("clientId") || text("appId");
  const secret = text("tenantId") ? text("clientSecret") : text("password");
  const certificate = text("clientCertificate");
  if (!tenant || !client || (!secret && !certificate))
    throw new KeyError(`${entryName} of the Secret needs tenantId and clientId, and clientSecret or clientCertificate; a managed identity is not supported`);
  const host = addressOf(text("authorityHost") || "https://login.microsoftonline.com/", ["https:"]);
  const url = `https://${host.host}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`;
  const proof: Record<string, string> = secret
    ? { client_secret: secret }
    : { client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion: assertion(certificate, text, client, url, context.nowMs()) };
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: client, scope, ...proof }).toString();
  const answer = await context.send({ url, headers: { "content-type": "application/x-www-form-urlencoded" }, body }, context.signal);
  const { access_token: token } = answered(url, answer, ["error"]);
  if (typeof token !== "string" || token === "") throw new KeyError("the application got no token");
  return token;
}

/** Ten minutes, as Azure's own libraries. */
const lifetimeS = 600;

/** A statement that the certificate's key has signed; both are in the same PEM text. */
function assertion(pem: string, text: Credentials, client: string, audience: string, nowMs: number): string {
  try {
    const { raw } = new X509Certificate(pem);
    const key = /-----BEGIN (?:RSA |ENCRYPTED )?PRIVATE KEY-----[^]*?-----END (?:RSA |ENCRYPTED )?PRIVATE KEY-----/.exec(pem)?.[0] ?? "";
    const issuedS = Math.floor(nowMs / 1000);
    const chain = text("clientCertificateSendChain") === "true" && { x5c: (pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []).map((one) => new X509Certificate(one).raw.toString("base64")) };
    const parts = [
      { alg: "PS256", typ: "JWT", "x5t#S256": createHash("sha256").update(raw).digest("base64url"), ...chain },
      { aud: audience, iss: client, sub: client, jti: randomUUID(), nbf: issuedS, iat: issuedS, exp: issuedS + lifetimeS },
    ];
    const statement = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    const passphrase = text("clientCertificatePassword");
    const signature = sign("sha256", Buffer.from(statement), {
      key, ...(passphrase && { passphrase }), padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    });
    return `${statement}.${signature.toString("base64url")}`;
  } catch {
    throw new KeyError(`clientCertificate in ${entryName} of the Secret is not a certificate with its private key, in PEM`);
  }
}
