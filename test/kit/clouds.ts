/** The clouds' token services as they are documented, on loopback: what they were asked, and what they answer. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { Accounts } from "#services/clients/cloud/account.ts";
import { Fault } from "#protocol/errors/fault.ts";

export type Asked = { method: string; /** Host and path as they were meant. */ at: string; headers: IncomingHttpHeaders; body: string };
export type Answer = string | { status: number; body: string };

export type FakeClouds = {
  /** `http://127.0.0.1:port` */
  base: string;
  /** For `Clouds`: each service is asked here, by its own host and path. */
  reach(url: string): string;
  asked: Asked[];
  /** By the beginning of host and path; the longest counts. A function is asked with the question. */
  answers: Record<string, Answer | ((asked: Asked) => Answer)>;
  close(): Promise<void>;
};

export async function startClouds(): Promise<FakeClouds> {
  const clouds: Pick<FakeClouds, "asked" | "answers"> = { asked: [], answers: {} };
  const server = createServer((request, response) => {
    void (async () => {
      const body = Buffer.concat(await Array.fromAsync(request)).toString();
      const question: Asked = { method: request.method ?? "", at: (request.url ?? "").slice(1), headers: request.headers, body };
      clouds.asked.push(question);
      const found = Object.entries(clouds.answers).sort(([a], [b]) => b.length - a.length).find(([start]) => question.at.startsWith(start))?.[1] ?? { status: 404, body: "" };
      const answer = typeof found === "function" ? found(question) : found;
      const { status, body: text } = typeof answer === "string" ? { status: 200, body: answer } : answer;
      response.writeHead(status).end(text);
    })();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...clouds, base, reach: (url) => `${base}/${url.replace(/^https?:\/\//, "")}`,
    close: () => new Promise((done) => { server.close(() => done()).closeAllConnections(); }),
  } as FakeClouds;
}

export const fieldsOf = ({ body }: Asked): Record<string, string> => Object.fromEntries(new URLSearchParams(body));

/** ServiceAccounts that are not of any cluster, by `namespace/name`; a token says whose it is and for whom. */
export function fakeAccounts(known: Record<string, { uid?: string; annotations: Record<string, string> }>): Accounts & { tokens: number } {
  const accounts = {
    tokens: 0,
    find: async ({ namespace, name }: { namespace: string; name: string }) => {
      const found = known[`${namespace}/${name}`];
      if (!found) throw new Fault("AccountMissing", `ServiceAccount/${namespace}/${name}`, { detail: "not found" });
      return { uid: "u1", ...found };
    },
    token: async ({ namespace, name }: { namespace: string; name: string }, audiences: string[]) => {
      accounts.tokens++;
      return { value: `${namespace}/${name} for ${audiences.join(" ")}`, livesMs: 3_600_000 };
    },
  };
  return accounts;
}

/** STS's answer to AssumeRoleWithWebIdentity. */
export const stsAnswer = (id: string, until: string): string =>
  `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${id}</AccessKeyId><SecretAccessKey>s3cret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>${until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
