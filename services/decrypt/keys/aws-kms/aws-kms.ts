/** AWS KMS: its Decrypt action, with the static credentials of the Secret or those of the unit's identity, in the name of a role where the file names one. */
import { credentialsIn } from "../credentials.ts";
import { KeyError, textOf, type KeyContext, type KeyKind } from "../key-kind.ts";
import { answered, keyIn } from "../send.ts";
import { signed, type AwsCredentials } from "#services/clients/aws/signature.ts";

const entryName = "sops.aws-kms";

export const awsKms: KeyKind = {
  field: "kms",
  name: (entry) => [textOf(entry, "arn"), textOf(entry, "role")].filter(Boolean).join(" as "),

  async unwrap(entry, context) {
    const arn = textOf(entry, "arn");
    const [, partition = "", region = ""] = /^arn:(aws[a-z-]*):kms:([a-z0-9-]+):\d+:(?:key|alias)\/.+$/.exec(arn) ?? [];
    const domain = domains[partition];
    if (!domain) throw new KeyError("it is not the ARN of a key");
    const own = await ownCredentials(region, context);
    const role = textOf(entry, "role");
    const credentials = role ? await assume(role, own, { region, domain }, context) : own;

    const url = `https://kms.${region}.${domain}/`;
    const table = entry.values.get("context");
    const body = JSON.stringify({ KeyId: arn, CiphertextBlob: textOf(entry, "enc"), ...(table instanceof Map && table.size > 0 && { EncryptionContext: Object.fromEntries(table) }) });
    const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.Decrypt" };
    const answer = await context.send(signed({ url, headers, body }, credentials, { service: "kms", region }, context.nowMs()), context.signal);
    return keyIn(url, answered(url, answer, ["__type"])["Plaintext"]);
  },
};

async function ownCredentials(region: string, { secret, ask }: KeyContext): Promise<AwsCredentials> {
  if (ask && !secret[entryName]) {
    const { id = "", secret: key = "", token = "" } = await ask({ service: "aws", region });
    return { id, secret: key, token };
  }
  const text = credentialsIn(secret, entryName, "AWS");
  const own = { id: text("aws_access_key_id"), secret: text("aws_secret_access_key"), token: text("aws_session_token") };
  if (!own.id || !own.secret) throw new KeyError(`${entryName} of the Secret needs aws_access_key_id and aws_secret_access_key`);
  return own;
}

/** Where the services of a partition are. */
const domains: Record<string, string> = {
  aws: "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-iso": "c2s.ic.gov", "aws-iso-b": "sc2s.sgov.gov",
  "aws-iso-e": "cloud.adc-e.uk", "aws-iso-f": "csp.hci.ic.gov", "aws-eusc": "amazonaws.eu",
};

/** STS answers in XML. */
async function assume(role: string, own: AwsCredentials, { region, domain }: { region: string; domain: string }, context: KeyContext): Promise<AwsCredentials> {
  const url = `https://sts.${region}.${domain}/`;
  const body = new URLSearchParams({ Action: "AssumeRole", Version: "2011-06-15", RoleArn: role, RoleSessionName: "sops@flotilla" }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  const { status, text } = await context.send(signed({ url, headers, body }, own, { service: "sts", region }, context.nowMs()), context.signal);
  const element = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? "";
  const assumed = { id: element("AccessKeyId"), secret: element("SecretAccessKey"), token: element("SessionToken") };
  if (status !== 200 || !assumed.id || !assumed.secret) throw new KeyError(`the role cannot be assumed: ${new URL(url).host} answered ${status}${/^\w{1,60}$/.test(element("Code")) ? ` (${element("Code")})` : ""}`);
  return assumed;
}
