/** Users of a NATS for tests, as `nsc` and `nk` make them: NKeys, and JWTs that an operator answers for. */
import { createHash } from "node:crypto";
import { nkeys } from "nats";

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** An operator with one account that may use JetStream, and one user after the other. */
export function createOperator() {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const system = nkeys.createAccount();
  const unlimited = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1, max_ack_pending: -1, subs: -1, data: -1, payload: -1, conn: -1, leaf: -1, imports: -1, exports: -1, wildcards: true };
  const accounts = {
    [account.getPublicKey()]: jwtOf(operator, account, "flotilla", { type: "account", limits: unlimited }),
    [system.getPublicKey()]: jwtOf(operator, system, "SYS", { type: "account", limits: { ...unlimited, mem_storage: 0, disk_storage: 0 } }),
  };
  return {
    /** Of a server that trusts the operator. */
    configuration: {
      operator: jwtOf(operator, operator, "operator", { type: "operator" }),
      resolver: "MEMORY", resolver_preload: accounts, system_account: system.getPublicKey(),
    },
    /** The contents of a credentials file. */
    creds(name: string, { expiresInS }: { expiresInS?: number } = {}): string {
      const user = nkeys.createUser();
      const jwt = jwtOf(account, user, name, { type: "user", subs: -1, data: -1, payload: -1, pub: {}, sub: {} }, expiresInS);
      return credsFile(jwt, seedOf(user));
    },
  };
}

/** The seed, as in a file, and what a server's configuration says of its holder. */
export function createNkey(): { seed: string; publicKey: string } {
  const user = nkeys.createUser();
  return { seed: `${seedOf(user)}\n`, publicKey: user.getPublicKey() };
}

const seedOf = (pair: KeyPair): string => Buffer.from(pair.getSeed()).toString();

const credsFile = (jwt: string, seed: string): string =>
  `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n` +
  `************************* IMPORTANT *************************\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;

/** A JWT of NATS (version 2) signed with Ed25519 (nats-io/jwt). */
function jwtOf(issuer: KeyPair, subject: KeyPair, name: string, nats: object, expiresInS?: number): string {
  const nowS = Math.floor(Date.now() / 1000);
  const claims = {
    iat: nowS, ...(expiresInS !== undefined && { exp: nowS + expiresInS }), iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name,
    nats: { ...nats, version: 2 },
  };
  const jti = createHash("sha256").update(JSON.stringify(claims)).digest("hex");
  const signed = [{ typ: "JWT", alg: "ed25519-nkey" }, { ...claims, jti }].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`;
}
