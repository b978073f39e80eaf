import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import test from "node:test";
import { accounts, startKeyServices, wrap, wrapRsa } from "../fixtures/key-services.ts";
import { testKeys } from "../fixtures/sealed-file.ts";
import { signed } from "#services/clients/aws/signature.ts";
import { dataKeyOf } from "./data-key.ts";
import type { Grant, Question } from "./grants.ts";
import { KeyError } from "./key-kind.ts";
import { send } from "./send.ts";

const services = await startKeyServices();
test.after(() => services.close());
const dataKey = Buffer.alloc(32, 3);
const { signal } = new AbortController();
const nowMs = () => Date.parse("2026-01-02T03:04:05.678Z");

type Values = Record<string, string | Map<string, string>>;
const open = (field: string, values: Values, secret: Record<string, string>, more: object = {}) =>
  dataKeyOf({ groups: [[{ field, values: new Map(Object.entries(values)) }]], threshold: 0 },
    { secret: Object.fromEntries(Object.entries(secret).map(([name, text]) => [name, Buffer.from(text)])), send: services.send, nowMs, tokens: new Map(), signal, ...more });

const sealed = wrap(dataKey).toString("base64");
const yaml = (values: Record<string, string>) => Object.entries(values).map(([name, text]) => `${name}: ${JSON.stringify(text)}\n`).join("");
const certificate = testKeys("azure-application.pem")["azure-application.pem"]?.toString() ?? "";
accounts.azure.certificate = new X509Certificate(certificate);

const aws = { arn: "arn:aws:kms:eu-west-1:1:key/shop", enc: sealed, aws_profile: "" };
const awsSecret = { "sops.aws-kms": yaml({ aws_access_key_id: accounts.aws.id, aws_secret_access_key: accounts.aws.secret }) };
const google = { resource_id: "projects/p/locations/global/keyRings/r/cryptoKeys/shop", enc: sealed };
const googleSecret = { "sops.gcp-kms": JSON.stringify({ type: "service_account", client_email: accounts.google.email, private_key: accounts.google.key, private_key_id: "k", token_uri: "https://oauth2.googleapis.com/token" }) };
const azure = { vault_url: "https://shop.vault.azure.net", name: "shop", version: "v1", enc: wrapRsa(dataKey).toString("base64url") };
const { tenant: tenantId, client: clientId, secret: clientSecret } = accounts.azure;
const azureSecret = { "sops.azure-kv": yaml({ tenantId, clientId, clientSecret }) };
const vault = { vault_address: "http://vault.test:8200", engine_path: "sops", key_name: "shop", enc: `vault:v1:${sealed}` };
const vaultSecret = { "sops.vault-token": `${accounts.vault.token}\n` };

const good: { title: string; field: string; values: Values; secret: Record<string, string> }[] = [
  { title: "[SO7] AWS KMS, with the static credentials of the Secret", field: "kms", values: aws, secret: awsSecret },
  { title: "[SO7] AWS KMS, with an encryption context", field: "kms", values: { ...aws, arn: "arn:aws:kms:us-gov-west-1:999:key/shop", context: new Map([["app", "shop"]]) }, secret: awsSecret },
  { title: "[SO7] AWS KMS, in the name of a role", field: "kms", values: { ...aws, role: "arn:aws:iam::1:role/reader" }, secret: awsSecret },
  { title: "[SO8] Google Cloud KMS, with the key of a service account", field: "gcp_kms", values: google, secret: googleSecret },
  { title: "[SO8] Google Cloud KMS, with a user's login", field: "gcp_kms", values: google, secret: { "sops.gcp-kms": JSON.stringify({ type: "authorized_user", client_id: "c", client_secret: "s", refresh_token: accounts.google.refresh }) } },
  { title: "[SO9] Azure Key Vault, with an application's secret", field: "azure_kv", values: azure, secret: azureSecret },
  { title: "[SO9] Azure Key Vault, with the words of az", field: "azure_kv", values: azure, secret: { "sops.azure-kv": yaml({ tenant: tenantId, appId: clientId, password: clientSecret }) } },
  { title: "[SO9] Azure Key Vault, with an application's certificate", field: "azure_kv", values: azure, secret: { "sops.azure-kv": yaml({ tenantId, clientId, clientCertificate: certificate }) } },
  { title: "[SO9] Azure Key Vault, with a file in UTF-16", field: "azure_kv", values: azure, secret: {} },
  { title: "[SO10] Vault's transit engine, with the token of the Secret", field: "hc_vault", values: vault, secret: vaultSecret },
];
for (const { title, field, values, secret } of good)
  test(title, async () => {
    const utf16 = Object.keys(secret).length === 0 ? { secret: { "sops.azure-kv": Buffer.from(`\ufeff${azureSecret["sops.azure-kv"]}`, "utf16le") } } : {};
    assert.deepEqual(await open(field, values, secret, utf16), dataKey);
  });

/** What the unit's identity is given; and what asking for it says. */
const grants: Record<Question["service"], Grant> = {
  aws: accounts.assumed, azure: { token: "azure-token" }, gcp: { token: "google-token" }, vault: { path: "auth/kubernetes/login", role: accounts.vault.role, jwt: accounts.vault.jwt },
};
const byIdentity: { what: string; field: string; values: Values; question: Question; entry: string }[] = [
  { what: "AWS KMS", field: "kms", values: aws, question: { service: "aws", region: "eu-west-1" }, entry: "sops.aws-kms" },
  { what: "Google Cloud KMS", field: "gcp_kms", values: google, question: { service: "gcp" }, entry: "sops.gcp-kms" },
  { what: "Azure Key Vault", field: "azure_kv", values: azure, question: { service: "azure", scope: "https://vault.azure.net/.default" }, entry: "sops.azure-kv" },
  { what: "Vault", field: "hc_vault", values: vault, question: { service: "vault", address: "http://vault.test:8200" }, entry: "sops.vault-token" },
];
for (const { what, field, values, question, entry } of byIdentity)
  test(`[SO27] ${what}: without credentials in the Secret the unit's identity opens it, and with some it is not asked for`, async () => {
    const asked: Question[] = [];
    const ask = async (wanted: Question) => (asked.push(wanted), grants[wanted.service]);
    assert.deepEqual(await open(field, values, {}, { ask }), dataKey);
    assert.deepEqual(asked.splice(0), [question]);
    await assert.rejects(open(field, values, { [entry]: "hunter2" }, { ask }));
    assert.deepEqual(asked, []);
    await assert.rejects(open(field, values, {}, { ask: async () => { throw new KeyError("ServiceAccount/apps/reader: not found"); } }), /ServiceAccount\/apps\/reader: not found/);
  });

test("[SO28] Vault gives no token to a role that it does not know, or one that is none", async () => {
  const login = { ...grants.vault, role: "apps_other" };
  await assert.rejects(open("hc_vault", vault, {}, { ask: async () => login }), (thrown: Error) => /vault\.test:8200 answered 403/.test(thrown.message) && !/hunter2|jwt-of/.test(thrown.message));
  const odd = await startKeyServices(({ path }) => (path.endsWith("/login") ? { status: 200, json: { auth: { client_token: "a\r\nb: c" } } } : undefined));
  await assert.rejects(open("hc_vault", vault, {}, { ask: async () => grants.vault, send: odd.send }), /gave no token for the role apps_reader/);
  await odd.close();
});

test("[SO7] a request is signed as AWS's own example says", () => {
  const request = { url: "https://example.amazonaws.com/", headers: {}, body: "" };
  const { headers } = signed(request, { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token: "" }, { service: "service", region: "us-east-1" }, Date.parse("2015-08-30T12:36:00Z"));
  assert.match(headers["authorization"] ?? "", /SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b$/);
});

const bad: { what: string; field: string; values: Values; secret: Record<string, string>; says: RegExp; asks?: number }[] = [
  { what: "no credentials of AWS", field: "kms", values: aws, secret: {}, says: /arn:aws:kms:eu-west-1:1:key\/shop: the Secret holds no credentials of AWS \(the key sops\.aws-kms\)/, asks: 0 },
  { what: "credentials of AWS that are none", field: "kms", values: aws, secret: { "sops.aws-kms": "{ hunter2" }, says: /sops\.aws-kms of the Secret cannot be read/, asks: 0 },
  { what: "credentials of AWS without a secret", field: "kms", values: aws, secret: { "sops.aws-kms": "aws_access_key_id: a" }, says: /needs aws_access_key_id and aws_secret_access_key/, asks: 0 },
  { what: "a wrong secret of AWS", field: "kms", values: aws, secret: { "sops.aws-kms": yaml({ aws_access_key_id: accounts.aws.id, aws_secret_access_key: "hunter2" }) }, says: /kms\.eu-west-1\.amazonaws\.com answered 400 \(InvalidSignatureException\)/ },
  { what: "another's key at AWS", field: "kms", values: { ...aws, arn: "arn:aws:kms:eu-west-1:1:key/other" }, secret: awsSecret, says: /answered 400 \(AccessDeniedException\)/ },
  { what: "a role that AWS does not give", field: "kms", values: { ...aws, role: "arn:aws:iam::1:role/other" }, secret: awsSecret, says: /the role cannot be assumed: sts\.eu-west-1\.amazonaws\.com answered 403 \(AccessDenied\)/ },
  { what: "an ARN that leads elsewhere", field: "kms", values: { ...aws, arn: "arn:aws:kms:evil.example/x:1:key/shop" }, secret: awsSecret, says: /it is not the ARN of a key/, asks: 0 },
  { what: "an account of Google that is none", field: "gcp_kms", values: google, secret: { "sops.gcp-kms": "{}" }, says: /neither of the type service_account nor authorized_user/, asks: 0 },
  { what: "a key of Google's that is none", field: "gcp_kms", values: google, secret: { "sops.gcp-kms": JSON.stringify({ type: "service_account", private_key: "hunter2" }) }, says: /private_key in sops\.gcp-kms of the Secret is not a private key/, asks: 0 },
  { what: "a login that Google has ended", field: "gcp_kms", values: google, secret: { "sops.gcp-kms": JSON.stringify({ type: "authorized_user", refresh_token: "old" }) }, says: /oauth2\.googleapis\.com answered 400 \(invalid_grant\)/ },
  { what: "another's key at Google", field: "gcp_kms", values: { ...google, resource_id: "projects/p/locations/global/keyRings/r/cryptoKeys/other" }, secret: googleSecret, says: /cloudkms\.googleapis\.com answered 403 \(PERMISSION_DENIED\)/ },
  { what: "a resource that leads elsewhere", field: "gcp_kms", values: { ...google, resource_id: "projects/../../x" }, secret: googleSecret, says: /it is not the resource of a key/, asks: 0 },
  { what: "a vault that is not Azure's", field: "azure_kv", values: { ...azure, vault_url: "https://vault.azure.net.evil.example" }, secret: azureSecret, says: /it is not the address of a key/, asks: 0 },
  { what: "a vault of Azure's without TLS", field: "azure_kv", values: { ...azure, vault_url: "http://shop.vault.azure.net" }, secret: azureSecret, says: /its address is not one of a key service/, asks: 0 },
  { what: "a wrong secret of Azure's", field: "azure_kv", values: azure, secret: { "sops.azure-kv": yaml({ tenantId, clientId, clientSecret: "hunter2" }) }, says: /login\.microsoftonline\.com answered 401 \(invalid_client\)/ },
  { what: "a managed identity", field: "azure_kv", values: azure, secret: { "sops.azure-kv": yaml({ clientId }) }, says: /a managed identity is not supported/, asks: 0 },
  { what: "a certificate that is none", field: "azure_kv", values: azure, secret: { "sops.azure-kv": yaml({ tenantId, clientId, clientCertificate: "hunter2" }) }, says: /is not a certificate with its private key/, asks: 0 },
  { what: "another key at Azure", field: "azure_kv", values: { ...azure, name: "other" }, secret: azureSecret, says: /shop\.vault\.azure\.net answered 404 \(KeyNotFound\)/ },
  { what: "no token of Vault", field: "hc_vault", values: vault, secret: {}, says: /the Secret holds no token of Vault/, asks: 0 },
  { what: "a wrong token of Vault", field: "hc_vault", values: vault, secret: { "sops.vault-token": "hunter2" }, says: /vault\.test:8200 answered 403/ },
  { what: "an address of Vault that is none", field: "hc_vault", values: { ...vault, vault_address: "file:///etc/passwd" }, secret: vaultSecret, says: /its address is not one of a key service/, asks: 0 },
  { what: "an address of Vault with a password", field: "hc_vault", values: { ...vault, vault_address: "http://a:b@vault.test" }, secret: vaultSecret, says: /its address is not one of a key service/, asks: 0 },
  { what: "a path that leads out of Vault's engine", field: "hc_vault", values: { ...vault, engine_path: "sops/../../sys" }, secret: vaultSecret, says: /it is not the address of a key/, asks: 0 },
  { what: "what Vault did not encrypt", field: "hc_vault", values: { ...vault, enc: "vault:v1:AAAA" }, secret: vaultSecret, says: /answered 400/ },
];
for (const { what, field, values, secret, says, asks } of bad)
  test(`[SO25] ${what}: the service, its status and its word for it, and none of what it says or was told`, async () => {
    const before = services.asked.length;
    await assert.rejects(open(field, values, secret), (thrown: Error) => {
      assert.match(thrown.message, says);
      assert.doesNotMatch(thrown.message, /hunter2|EXAMPLEKEY|hvs\.|client-secret/);
      return true;
    });
    if (asks === 0) assert.equal(services.asked.length, before, "nobody was asked");
  });

test("[SO25] a redirect is not followed, a service that is away is named, and one that talks without end is left", async () => {
  const moved = await startKeyServices(({ path }) => (path === "/moved" ? { status: 302, headers: { location: "/secret" } } : { status: 200, text: "x".repeat(100_000) }));
  const request = (path: string) => ({ url: moved.origin + path, headers: {}, body: "" });
  assert.equal((await send(request("/moved"), signal)).status, 302);
  assert.deepEqual(moved.asked.map(({ path }) => path), ["/moved"]);
  await assert.rejects(send(request("/much"), signal), /answers more than a key service does/);
  await moved.close();
  await assert.rejects(send(request("/gone"), signal), /^KeyError: 127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)|cannot be reached/);
  await assert.rejects(send(request("/gone"), AbortSignal.abort(new Error("superseded"))), /superseded/);
});
