/** Amazon's cloud: temporary credentials of the worker itself, or of the role that a ServiceAccount's annotation names. */
import type { AwsCredentials } from "../aws/signature.ts";
import type { Bearer } from "./account.ts";
import { ask, failed, fileOf, form, textIn, valueIn, type Cloud, type Granted } from "./ask.ts";

/** By the beginning of a region's name; everything else is the partition that is open to all. */
const domains: [start: string, domain: string][] = [
  ["cn-", "amazonaws.com.cn"], ["us-isob-", "sc2s.sgov.gov"], ["us-isof-", "csp.hci.ic.gov"], ["eu-isoe-", "cloud.adc-e.uk"], ["us-iso-", "c2s.ic.gov"], ["eusc-", "amazonaws.eu"],
];
export const awsDomain = (region: string): string => domains.find(([start]) => region.startsWith(start))?.[1] ?? "amazonaws.com";

/** Names that stand in the addresses of services. */
export const isAwsRegion = (text: string): boolean => /^[a-z]{2,6}(-[a-z]{1,12}){1,3}-\d{1,2}$/.test(text);

const roleArn = "eks.amazonaws.com/role-arn";

/** What AWS takes the account for. @throws Fault ProviderFailed */
export function awsRole({ annotations }: Pick<Bearer, "annotations">, shown: string): string {
  const role = annotations[roleArn] ?? "";
  // As in Flux (fluxcd/pkg auth/aws/options.go).
  if (!/^arn:aws[\w-]*:iam::[0-9]{1,30}:role\/.{1,200}$/.test(role)) throw failed(shown, `the ServiceAccount's annotation ${roleArn} is not the ARN of a role`);
  return role;
}

/** @param account whose; the worker's own when absent @throws Fault ProviderFailed */
export async function awsCredentials(region: string, account: Bearer | undefined, cloud: Cloud): Promise<Granted<AwsCredentials>> {
  const { env } = cloud;
  // Other storages that speak Amazon's language call their regions as they like.
  if (!account && env["AWS_ACCESS_KEY_ID"] && env["AWS_SECRET_ACCESS_KEY"])
    return { value: { id: env["AWS_ACCESS_KEY_ID"], secret: env["AWS_SECRET_ACCESS_KEY"], token: env["AWS_SESSION_TOKEN"] ?? "" }, livesMs: staticMs };
  const shared = account ? undefined : await fromSharedFile(cloud);
  if (shared) return { value: shared, livesMs: staticMs };
  if (!isAwsRegion(region)) throw failed(cloud.shown, "that is no region of AWS");
  if (account) {
    const token = await account.proof("sts.amazonaws.com", cloud);
    // The name that Flux gives the session, so that policies which name it go on to hold (auth/aws/options.go).
    const session = `${account.name}.${account.namespace}.${region}.fluxcd.io`.replaceAll(/[^\w+=,.@-]/g, "-").slice(0, 64);
    return byWebIdentity(cloud, region, { role: awsRole(account, cloud.shown), session, token });
  }
  if (env["AWS_WEB_IDENTITY_TOKEN_FILE"] && env["AWS_ROLE_ARN"])
    return byWebIdentity(cloud, region, { role: env["AWS_ROLE_ARN"], session: env["AWS_ROLE_SESSION_NAME"] || "flotilla", token: await fileOf(cloud, "AWS_WEB_IDENTITY_TOKEN_FILE") });
  const path = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
  const full = env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] || (path && `http://169.254.170.2${path}`);
  if (full) {
    const token = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] ? await fileOf(cloud, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
    return read(cloud, await ask(cloud, { url: full, headers: { ...(token && { authorization: token }) } }));
  }
  return byMachine(cloud);
}

/**
 * The file that Amazon's own tools write: a profile's keys. A file that nobody names need not be there, and a web identity goes
 * before it, as in Amazon's libraries.
 */
async function fromSharedFile(cloud: Cloud): Promise<AwsCredentials | undefined> {
  const { env } = cloud;
  if (env["AWS_WEB_IDENTITY_TOKEN_FILE"] && env["AWS_ROLE_ARN"]) return undefined;
  const named = env["AWS_SHARED_CREDENTIALS_FILE"];
  if (!named && !env["HOME"]) return undefined;
  const text = named ? await fileOf(cloud, "AWS_SHARED_CREDENTIALS_FILE") : await cloud.readFile(`${env["HOME"]}/.aws/credentials`).catch(() => "");
  const wanted = env["AWS_PROFILE"] || "default";
  const values = new Map<string, string>();
  let profile = "";
  for (const line of text.split("\n")) {
    profile = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1] ?? profile;
    const [, name, value] = /^\s*(aws_\w+)\s*=\s*(\S*)\s*$/.exec(line) ?? [];
    if (profile === wanted && name && value) values.set(name, value);
  }
  const [id, secret, token = ""] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"].map((name) => values.get(name));
  if (id && secret) return { id, secret, token };
  if (named) throw failed(cloud.shown, `the file that AWS_SHARED_CREDENTIALS_FILE names has no keys of profile ${JSON.stringify(wanted.slice(0, 60))}`);
  return undefined;
}

/** What nobody says the end of is looked at again. */
const staticMs = 3_600_000;

/** STS, AssumeRoleWithWebIdentity: what a pod's or an account's token is exchanged for. */
async function byWebIdentity(cloud: Cloud, region: string, { role, session, token }: Record<"role" | "session" | "token", string>): Promise<Granted<AwsCredentials>> {
  const url = cloud.env["AWS_ENDPOINT_URL_STS"] || `https://sts.${region}.${awsDomain(region)}/`;
  const answer = await ask(cloud, { url, ...form({ Action: "AssumeRoleWithWebIdentity", Version: "2011-06-15", RoleArn: role, RoleSessionName: session, WebIdentityToken: token }) });
  const element = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(answer)?.[1] ?? "";
  const value = { id: element("AccessKeyId"), secret: element("SecretAccessKey"), token: element("SessionToken") };
  if (!value.id || !value.secret) throw failed(cloud.shown, "STS gave no credentials");
  return { value, livesMs: untilMs(cloud, element("Expiration")) };
}

/** The instance's own role (IMDSv2). */
async function byMachine(cloud: Cloud): Promise<Granted<AwsCredentials>> {
  const base = (cloud.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] || "http://169.254.169.254").replace(/\/$/, "");
  const token = await ask(cloud, { method: "PUT", url: `${base}/latest/api/token`, headers: { "x-aws-ec2-metadata-token-ttl-seconds": "300" } });
  const headers = { "x-aws-ec2-metadata-token": token };
  const roles = `${base}/latest/meta-data/iam/security-credentials/`;
  const [role = ""] = (await ask(cloud, { url: roles, headers })).trim().split("\n");
  return read(cloud, await ask(cloud, { url: `${roles}${encodeURIComponent(role)}`, headers }));
}

const read = (cloud: Cloud, answer: string): Granted<AwsCredentials> => ({
  value: { id: textIn(cloud, answer, "AccessKeyId"), secret: textIn(cloud, answer, "SecretAccessKey"), token: textIn(cloud, answer, "Token") },
  livesMs: untilMs(cloud, String(valueIn(answer, "Expiration"))),
});

function untilMs({ nowMs }: Cloud, time: string): number {
  const atMs = Date.parse(time);
  return Number.isNaN(atMs) ? staticMs / 2 : Math.max(0, atMs - nowMs());
}
