/** Identities in the clouds, against the wire formats that the clouds document. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { fakeAccounts, fieldsOf, startClouds, stsAnswer, type FakeClouds } from "../../../test/kit/clouds.ts";
import { codecommitPassword, presigned } from "../aws/signature.ts";
import { cloudLogin } from "../registry/cloud-login.ts";
import { clusterToken, describeCluster } from "./clusters.ts";
import { gitLogin } from "./git-login.ts";
import { Clouds, type Identity } from "./identity.ts";

let clouds: FakeClouds;
before(async () => { clouds = await startClouds(); });
beforeEach(() => {
  clouds.asked.length = 0;
  for (const start of Object.keys(clouds.answers)) delete clouds.answers[start];
});
after(() => clouds.close());

const shown = "oci://registry/shop";
const asking = () => ({ shown, signal: AbortSignal.timeout(10_000) });
const nowMs = () => Date.parse("2026-01-02T03:04:05Z");
const until = "2026-01-02T04:04:05Z";

const annotated = {
  "shop/reader": { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader", "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client", "iam.gke.io/gcp-service-account": "reader@proj.iam.gserviceaccount.com" } },
  "shop/direct": { annotations: { "gcp.auth.fluxcd.io/workload-identity-provider": "projects/12/locations/global/workloadIdentityPools/pool/providers/hub" } },
  "shop/plain": { annotations: {} },
  "rival/reader": { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader" } },
};
const open = (env: Record<string, string> = {}, accounts = fakeAccounts(annotated)) => {
  const all = new Clouds({ env, nowMs, reach: clouds.reach, accounts, readFile: async (path) => (path === "/token" ? "pod-token\n" : Promise.reject(new Error("ENOENT"))) });
  return { all, own: all.as(), as: (name: string, namespace = "shop") => all.as({ namespace, name }), accounts };
};
const failed = (detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault && error.code === "ProviderFailed", String(error));
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(error.message, /s3cret|pod-token/);
  return true;
};

const ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const ecrAnswer = (password: string) => JSON.stringify({ authorizationData: [{ authorizationToken: Buffer.from(`AWS:${password}`).toString("base64") }] });
const credentials = JSON.stringify({ AccessKeyId: "AKIA", SecretAccessKey: "s3cret", Token: "session", Expiration: until });
const login = (provider: "aws" | "azure" | "gcp", host: string, identity: Identity) => cloudLogin(provider, { host }, identity, asking());

test("[OC40] [OC41] aws: the pod's token becomes a role, the role a password of the registry", async () => {
  Object.assign(clouds.answers, { "sts.eu-west-1.amazonaws.com/": stsAnswer("AKIA", until), "api.ecr.eu-west-1.amazonaws.com/": ecrAnswer("pass:word") });
  const { own } = open({ AWS_WEB_IDENTITY_TOKEN_FILE: "/token", AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/reader" });
  assert.deepEqual(await login("aws", ecr, own), { username: "AWS", password: "pass:word" });
  const [sts, token] = clouds.asked;
  assert.deepEqual(fieldsOf(sts!), { Action: "AssumeRoleWithWebIdentity", Version: "2011-06-15", RoleArn: "arn:aws:iam::123456789012:role/reader", RoleSessionName: "flotilla", WebIdentityToken: "pod-token" });
  assert.equal(token?.headers["x-amz-target"], "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
  assert.equal(token?.headers["x-amz-security-token"], "session");
  assert.match(String(token?.headers.authorization), /^AWS4-HMAC-SHA256 Credential=AKIA\/20260102\/eu-west-1\/ecr\/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=[0-9a-f]{64}$/);
});

test("[OC41] aws: the other ways a worker gets a role: keys, a container's, a machine's", async () => {
  const machine = "169.254.169.254/latest/meta-data/iam/security-credentials/";
  Object.assign(clouds.answers, {
    "api.ecr.": ecrAnswer("pass"), "169.254.170.2/container": credentials, "169.254.169.254/latest/api/token": "imds", [machine]: "reader\n", [`${machine}reader`]: credentials,
    "api.ecr-public.us-east-1.amazonaws.com/": JSON.stringify({ authorizationData: { authorizationToken: Buffer.from("AWS:public").toString("base64") } }),
  });
  const keys = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "s3cret" };
  for (const [region, env] of [["eu-west-2", keys], ["eu-west-3", { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/container", AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/token" }], ["eu-west-4", {}]] as const)
    assert.deepEqual(await login("aws", `123456789012.dkr.ecr.${region}.amazonaws.com`, open(env).own), { username: "AWS", password: "pass" });
  assert.equal(clouds.asked.find(({ at }) => at.endsWith("/container"))?.headers.authorization, "pod-token");
  assert.equal(clouds.asked.find(({ at }) => at.endsWith("/reader"))?.headers["x-aws-ec2-metadata-token"], "imds");
  assert.deepEqual(await login("aws", "public.ecr.aws", open(keys).own), { username: "AWS", password: "public" });
});

test("[OC41] aws: a profile of the shared file, where neither keys nor a web identity are given", async () => {
  const file = "[default]\naws_access_key_id = AKIA0\naws_secret_access_key=s3cret0\n# nobody\n[ work ]\naws_access_key_id=AKIA1\naws_secret_access_key=s3cret1\naws_session_token=ticket\n";
  const by = (env: Record<string, string>) => new Clouds({ env, nowMs, reach: clouds.reach, readFile: async (path) => (path === "/home/me/.aws/credentials" || path === "/keys" ? file : Promise.reject(new Error("ENOENT"))) })
    .as().aws("garage", asking()).then(({ value }) => value);
  assert.deepEqual(await by({ HOME: "/home/me" }), { id: "AKIA0", secret: "s3cret0", token: "" });
  assert.deepEqual(await by({ AWS_SHARED_CREDENTIALS_FILE: "/keys", AWS_PROFILE: "work" }), { id: "AKIA1", secret: "s3cret1", token: "ticket" });
  assert.deepEqual(await by({ HOME: "/home/me", AWS_ACCESS_KEY_ID: "AKIA2", AWS_SECRET_ACCESS_KEY: "s3cret2" }), { id: "AKIA2", secret: "s3cret2", token: "" });
  await assert.rejects(by({ AWS_SHARED_CREDENTIALS_FILE: "/keys", AWS_PROFILE: "none" }), failed(/no keys of profile "none"/));
  await assert.rejects(by({ AWS_SHARED_CREDENTIALS_FILE: "/gone" }), failed(/AWS_SHARED_CREDENTIALS_FILE names cannot be read/));
  await assert.rejects(by({ HOME: "/home/other" }), failed(/no region of AWS/));
});

test("[OC42] gcp: the token of the worker's service account", async () => {
  clouds.answers["metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"] = JSON.stringify({ access_token: "ya29", expires_in: 3_599 });
  for (const host of ["gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"]) assert.deepEqual(await login("gcp", host, open().own), { username: "oauth2accesstoken", password: "ya29" });
  assert.equal(clouds.asked[0]?.headers["metadata-flavor"], "Google");
});

test("[OC43] azure: a token of the directory, by the pod's token, a secret or the machine, is exchanged at the registry", async () => {
  const ways: [host: string, env: Record<string, string>, field: string, value: string][] = [
    ["one.azurecr.io", { AZURE_CLIENT_ID: "id", AZURE_TENANT_ID: "tenant", AZURE_FEDERATED_TOKEN_FILE: "/token" }, "client_assertion", "pod-token"],
    ["two.azurecr.io", { AZURE_CLIENT_ID: "id", AZURE_TENANT_ID: "tenant", AZURE_CLIENT_SECRET: "s3cret" }, "client_secret", "s3cret"],
  ];
  Object.assign(clouds.answers, {
    "login.microsoftonline.com/tenant/oauth2/v2.0/token": JSON.stringify({ access_token: "aad", expires_in: 3_599 }),
    "169.254.169.254/metadata/identity/oauth2/token": JSON.stringify({ access_token: "msi", expires_in: "3599" }),
    "one.azurecr.io/oauth2/exchange": JSON.stringify({ refresh_token: "acr" }), "two.azurecr.io/oauth2/exchange": JSON.stringify({ refresh_token: "acr" }), "three.azurecr.io/oauth2/exchange": JSON.stringify({ refresh_token: "acr" }),
  });
  const granted = { username: "00000000-0000-0000-0000-000000000000", password: "acr" };
  for (const [host, env, field, value] of ways) {
    assert.deepEqual(await login("azure", host, open(env).own), granted);
    const [directory, exchange] = clouds.asked.splice(0);
    assert.equal(fieldsOf(directory!)[field], value);
    assert.equal(fieldsOf(directory!)["scope"], "https://containerregistry.azure.net/.default");
    assert.deepEqual(fieldsOf(exchange!), { grant_type: "access_token", service: host, access_token: "aad" });
  }
  assert.deepEqual(await login("azure", "three.azurecr.io", open().own), granted);
  assert.match(clouds.asked[0]?.at ?? "", /resource=https%3A%2F%2Fcontainerregistry\.azure\.net$/);
  assert.equal(fieldsOf(clouds.asked[1]!)["access_token"], "msi");
});

test("[OC40] credentials of a cloud go to its own registries only", async () => {
  const { own } = open();
  for (const host of ["ghcr.io", "evil.example", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", "azurecr.io", "team.azurecr.io.evil.example", "a.gcr.io.evil.example", "gcr.io:5000"]) {
    await assert.rejects(login("aws", host, own), failed(/no registry of Amazon's/));
    await assert.rejects(login("azure", host, own), failed(/no registry of Azure's/));
    await assert.rejects(login("gcp", host, own), failed(/no registry of Google's/));
  }
  assert.equal(clouds.asked.length, 0);
});

test("[OC40] [ID7] a service that refuses, answers with something else, or is not there", async () => {
  const token = "metadata.google.internal/computeMetadata";
  clouds.answers[token] = { status: 403, body: "s3cret" };
  await assert.rejects(login("gcp", "gcr.io", open().own), failed(/answered HTTP 403/));
  for (const body of ["s3cret", "{}", "[]", "null", JSON.stringify({ access_token: { s3cret: 1 } })]) {
    clouds.answers[token] = body;
    await assert.rejects(login("gcp", "gcr.io", open().own), failed(/holds no access_token/));
  }
  clouds.answers[token] = JSON.stringify({ access_token: "s3cret\r\nx: y" });
  await assert.rejects(login("gcp", "gcr.io", open().own), failed(/is no token/));
  clouds.answers[token] = "x".repeat(300_000);
  await assert.rejects(login("gcp", "gcr.io", open().own), failed(/gave no answer/));
  const nobody = new Clouds({ env: { GCE_METADATA_HOST: "127.0.0.1:9" } }).as();
  await assert.rejects(login("gcp", "gcr.io", nobody), failed(/gave no answer/));
  await assert.rejects(login("aws", ecr, open({ AWS_WEB_IDENTITY_TOKEN_FILE: "/gone", AWS_ROLE_ARN: "a" }).own), failed(/AWS_WEB_IDENTITY_TOKEN_FILE/));
});

test("[OC40] [ID4] what was given serves all repositories of the registry until shortly before its end; a call ends with its signal", async () => {
  const { own } = open();
  const ask = (token: string, seconds: number, identity = own) => {
    clouds.answers["metadata.google.internal/"] = JSON.stringify({ access_token: token, expires_in: seconds });
    return login("gcp", "eu.gcr.io", identity);
  };
  assert.deepEqual(await ask("a", 3_600), await ask("b", 3_600));
  assert.equal(clouds.asked.length, 1);
  const short = open().own;
  assert.notDeepEqual(await ask("c", 30, short), await ask("d", 30, short));
  const reason = new Error("another owner");
  await assert.rejects(cloudLogin("gcp", { host: "gcr.io" }, own, { shown, signal: AbortSignal.abort(reason) }), reason);
});

test("[ID1] aws: the token of the account for STS becomes the role of its annotation", async () => {
  Object.assign(clouds.answers, { "sts.eu-central-1.amazonaws.com/": stsAnswer("ASIA", until), "api.ecr.eu-central-1.amazonaws.com/": ecrAnswer("account") });
  assert.deepEqual(await login("aws", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", open({ AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "s3cret" }).as("reader")), { username: "AWS", password: "account" });
  assert.deepEqual(fieldsOf(clouds.asked[0]!), {
    Action: "AssumeRoleWithWebIdentity", Version: "2011-06-15", RoleArn: "arn:aws:iam::123456789012:role/reader", RoleSessionName: "reader.shop.eu-central-1.fluxcd.io", WebIdentityToken: "shop/reader for sts.amazonaws.com",
  });
  assert.equal(clouds.asked[0]?.headers.authorization, undefined);
  assert.match(String(clouds.asked[1]?.headers.authorization), /Credential=ASIA\//);
});

test("[ID2] azure: the token of the account for the directory becomes one of the application of its annotations", async () => {
  clouds.answers["login.microsoftonline.com/tenant/oauth2/v2.0/token"] = JSON.stringify({ access_token: "aad", expires_in: 3_599 });
  const { value } = await open({ AZURE_CLIENT_ID: "own", AZURE_TENANT_ID: "own", AZURE_CLIENT_SECRET: "s3cret" }).as("reader").azure("https://vault.azure.net/.default", asking());
  assert.equal(value, "aad");
  assert.deepEqual(fieldsOf(clouds.asked[0]!), {
    grant_type: "client_credentials", client_id: "client", scope: "https://vault.azure.net/.default",
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion: "shop/reader for api://AzureADTokenExchange",
  });
});

test("[ID3] gcp: in GKE the token of the account is exchanged for the service account of its annotation", async () => {
  Object.assign(clouds.answers, {
    "metadata.google.internal/computeMetadata/v1/project/project-id": "proj", "metadata.google.internal/computeMetadata/v1/instance/attributes/cluster-location": "europe-west1",
    "metadata.google.internal/computeMetadata/v1/instance/attributes/cluster-name": "hub", "sts.googleapis.com/v1/token": JSON.stringify({ access_token: "federated", expires_in: 3_600 }),
    "iamcredentials.googleapis.com/": JSON.stringify({ accessToken: "ya29", expireTime: until }),
  });
  assert.equal((await open().as("reader").gcp(asking())).value, "ya29");
  const [sts, impersonation] = clouds.asked.filter(({ method }) => method === "POST");
  assert.deepEqual(fieldsOf(sts!), {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange", requested_token_type: "urn:ietf:params:oauth:token-type:access_token", subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    subject_token: "shop/reader for proj.svc.id.goog", scope: "https://www.googleapis.com/auth/cloud-platform",
    audience: "identitynamespace:proj.svc.id.goog:https://container.googleapis.com/v1/projects/proj/locations/europe-west1/clusters/hub",
  });
  assert.equal(impersonation?.at, "iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/reader@proj.iam.gserviceaccount.com:generateAccessToken");
  assert.equal(impersonation?.headers.authorization, "Bearer federated");
});

test("[ID3] gcp: elsewhere the provider of the annotation vouches for the account, which may have access itself", async () => {
  clouds.answers["sts.googleapis.com/v1/token"] = JSON.stringify({ access_token: "federated", expires_in: 3_600 });
  assert.equal((await open().as("direct").gcp(asking())).value, "federated");
  const provider = "//iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/pool/providers/hub";
  const { audience, subject_token: subject, scope } = fieldsOf(clouds.asked[0]!);
  assert.deepEqual([audience, subject, scope], [provider, `shop/direct for ${provider}`, "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email"]);
});

test("[ID4] an account's tokens are its own: not another's with the same role, nor its own of before", async () => {
  clouds.answers["sts.eu-west-1.amazonaws.com/"] = ({ body }) => stsAnswer(new URLSearchParams(body).get("WebIdentityToken") ?? "", until);
  const known: Record<string, { uid?: string; annotations: Record<string, string> }> = structuredClone(annotated);
  const { as, accounts } = open({}, fakeAccounts(known));
  const idOf = async (name: string, namespace?: string) => (await as(name, namespace).aws("eu-west-1", asking())).value.id;
  assert.deepEqual([await idOf("reader"), await idOf("reader"), await idOf("reader", "rival")], ["shop/reader for sts.amazonaws.com", "shop/reader for sts.amazonaws.com", "rival/reader for sts.amazonaws.com"]);
  assert.equal(accounts.tokens, 2);
  const before = await as("reader").fingerprint(asking());
  known["shop/reader"]!.uid = "another object of the name";
  await idOf("reader");
  known["shop/reader"]!.annotations["eks.amazonaws.com/role-arn"] = "arn:aws:iam::123456789012:role/other";
  await idOf("reader");
  assert.equal(accounts.tokens, 4);
  assert.notEqual(await as("reader").fingerprint(asking()), before);
  delete known["shop/reader"];
  await assert.rejects(idOf("reader"), { code: "AccountMissing" });
});

test("[ID4] audiences of one's own replace those of the cloud, and have tokens of their own", async () => {
  clouds.answers["sts.eu-west-1.amazonaws.com/"] = ({ body }) => stsAnswer(new URLSearchParams(body).get("WebIdentityToken") ?? "", until);
  const { all } = open();
  const account = { namespace: "shop", name: "reader" };
  const [usual, own] = await Promise.all([all.as(account), all.as(account, ["one", "two"])].map((identity) => identity.aws("eu-west-1", asking())));
  assert.deepEqual([usual?.value.id, own?.value.id], ["shop/reader for sts.amazonaws.com", "shop/reader for one two"]);
  assert.notEqual(await all.as(account).fingerprint(asking()), await all.as(account, ["one"]).fingerprint(asking()));
});

const wrong: [annotation: string, value: string, ask: (identity: Identity) => Promise<unknown>, detail: RegExp][] = [
  ["eks.amazonaws.com/role-arn", "", (identity) => identity.aws("eu-west-1", asking()), /annotation eks\.amazonaws\.com\/role-arn/],
  ["eks.amazonaws.com/role-arn", "arn:aws:iam::1:user/a", (identity) => identity.aws("eu-west-1", asking()), /is not the ARN of a role/],
  ["azure.workload.identity/tenant-id", "", (identity) => identity.azure("s", asking()), /no annotation azure\.workload\.identity\/tenant-id/],
  ["azure.workload.identity/tenant-id", "../evil", (identity) => identity.azure("s", asking()), /tenant-id, or it is no id/],
  ["iam.gke.io/gcp-service-account", "a@b.example", (identity) => identity.gcp(asking()), /not the address of a service account/],
  ["gcp.auth.fluxcd.io/workload-identity-provider", "projects/x", (identity) => identity.gcp(asking()), /not the name of a provider/],
  ["none", "", (identity) => identity.aws("evil.example/x", asking()), /no region of AWS/],
  ["none", "", (identity) => identity.gcp(asking()), /metadata\.google\.internal answered HTTP 404/],
];
for (const [annotation, value, ask, detail] of wrong)
  test(`[ID5] an account whose annotation ${annotation} is ${JSON.stringify(value)} gets nothing, and no cloud hears of it`, async () => {
    const accounts = fakeAccounts({ "shop/a": { annotations: { [annotation]: value } } });
    await assert.rejects(ask(open({}, accounts).as("a")), failed(detail));
    assert.equal(clouds.asked.filter(({ method }) => method === "POST").length, 0);
  });

const vector = { id: "AKIAEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG", token: "session/token==" };
const vectorMs = Date.parse("2026-11-26T20:42:59Z");

test("[ID6] aws: CodeCommit gets a signature as Flux makes it, for its own hosts alone", async () => {
  const url = new URL("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/my-shop.git");
  assert.equal(codecommitPassword(url, vector, "eu-west-1", vectorMs), "20261126T204259Z1f6b9d47ccdc70f45e63e394ddf3d344cd74521a1daba2210c1cd253b984ca95");
  clouds.answers["sts.eu-west-1.amazonaws.com/"] = stsAnswer("ASIA", until);
  const identity = open().as("reader");
  const first = await gitLogin("aws", url, identity, asking());
  assert.equal("username" in first && first.username, "ASIA%session");
  assert.deepEqual(await gitLogin("aws", url, identity, asking()), first);
  for (const other of ["https://git-codecommit.eu-west-1.amazonaws.com.evil.example/a", "https://evil.example/a", "http://git-codecommit.eu-west-1.amazonaws.com/a", "https://git-codecommit.eu-west-1.amazonaws.com:8443/a", "https://git-codecommit.cn-north-1.amazonaws.com/a"])
    await assert.rejects(gitLogin("aws", new URL(other), identity, asking()), { code: "ProviderFailed" });
});

test("[ID6] azure: Azure DevOps gets a token of the directory, and no other host does", async () => {
  clouds.answers["login.microsoftonline.com/tenant/oauth2/v2.0/token"] = JSON.stringify({ access_token: "devops", expires_in: 3_599 });
  const identity = open().as("reader");
  for (const url of ["https://dev.azure.com/team/shop/_git/shop", "https://team.visualstudio.com/shop/_git/shop"]) assert.deepEqual(await gitLogin("azure", new URL(url), identity, asking()), { bearerToken: "devops" });
  assert.equal(fieldsOf(clouds.asked[0]!)["scope"], "499b84ac-1321-427f-aa17-267ca6975798/.default");
  for (const other of ["https://dev.azure.com.evil.example/a", "https://evil.example/a", "http://dev.azure.com/a", "https://dev.azure.com:8443/a"])
    await assert.rejects(gitLogin("azure", new URL(other), identity, asking()), failed(/is not Azure DevOps|over https/));
});

test("[TN50] EKS gets a signed question as Flux makes it", async () => {
  const scope = { service: "sts", region: "eu-west-1" };
  const url = presigned({ url: "https://sts.eu-west-1.amazonaws.com/", headers: { "x-k8s-aws-id": "shop" }, query: { Action: "GetCallerIdentity", Version: "2011-06-15" }, livesS: 900 }, vector, scope, vectorMs);
  assert.match(url, /^https:\/\/sts\.eu-west-1\.amazonaws\.com\/\?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261126%2Feu-west-1%2Fsts%2Faws4_request&/);
  assert.match(url, /&X-Amz-Security-Token=session%2Ftoken%3D%3D&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=df426dba99a96903ee0cadbd39519c2d2579fb738f715876d7395539d4109554$/);
  clouds.answers["sts.eu-west-1.amazonaws.com/"] = stsAnswer("ASIA", until);
  const { value, livesMs } = await clusterToken("aws", { cluster: "arn:aws:eks:eu-west-1:123456789012:cluster/shop" }, open().as("reader"), asking());
  assert.match(Buffer.from(value.slice("k8s-aws-v1.".length), "base64url").toString(), /X-Amz-Credential=ASIA%2F.*&X-Amz-Expires=900&/);
  assert.equal(livesMs, 720_000, "it is not used in the last fifth of its life");
});

const places: { provider: "aws" | "azure" | "gcp"; cluster: string; account: string; answers: Record<string, string> }[] = [
  { provider: "aws", account: "reader", cluster: "arn:aws:eks:eu-west-1:123456789012:cluster/shop", answers: { "sts.": stsAnswer("ASIA", until), "eks.eu-west-1.amazonaws.com/clusters/shop": JSON.stringify({ cluster: { endpoint: "https://shop.example", certificateAuthority: { data: Buffer.from("CA").toString("base64") } } }) } },
  { provider: "gcp", account: "direct", cluster: "projects/p/locations/europe-west1/clusters/shop", answers: { "sts.googleapis.com/": JSON.stringify({ access_token: "ya29", expires_in: 3_600 }), "container.googleapis.com/v1/projects/p/locations/europe-west1/clusters/shop": JSON.stringify({ endpoint: "https://shop.example", masterAuth: { clusterCaCertificate: Buffer.from("CA").toString("base64") } }) } },
  {
    provider: "azure", account: "reader", cluster: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop",
    answers: {
      "login.microsoftonline.com/": JSON.stringify({ access_token: "aad", expires_in: 3_599 }),
      "management.azure.com/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop?": JSON.stringify({ properties: { aadProfile: {} } }),
      "management.azure.com/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/shop/listClusterUserCredential?": JSON.stringify({ kubeconfigs: [{ name: "u", value: Buffer.from("clusters: [{name: shop, cluster: {server: 'https://shop.example', certificate-authority-data: Q0E=}}]").toString("base64") }] }),
    },
  },
];
for (const { provider, cluster, account, answers } of places)
  test(`[TN50] ${provider}: the cloud says where a cluster is and whom to trust there, unless the ConfigMap does`, async () => {
    Object.assign(clouds.answers, answers);
    const identity = open().as(account);
    assert.deepEqual(await describeCluster(provider, { cluster }, identity, asking()), { address: "https://shop.example", ca: "CA" });
    const asked = clouds.asked.length;
    assert.deepEqual(await describeCluster(provider, { cluster, address: "https://a.example", ca: "A" }, identity, asking()), { address: "https://a.example", ca: "A" });
    assert.equal(clouds.asked.length, asked);
    for (const other of ["", "shop", "../../x", `${cluster}/..`, `${cluster}?x`, cluster.replace("/rg/", "/../").replace("projects/p/", "projects/../").replace(":cluster/shop", ":cluster/..")]) await assert.rejects(describeCluster(provider, { cluster: other }, identity, asking()), failed(/cluster is not the/));
  });
