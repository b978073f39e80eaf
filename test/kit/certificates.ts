/** Certificates for tests, made on the spot: Node has no call that writes one. */
import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";

// X.509 (RFC 5280) in DER: a tag, a length, the contents
export const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
export const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"));
export const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
export const named = (name: string) => sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(name)))));
export const extension = (id: string, value: Buffer) => sequence(oid(id), der(0x04, value));
export const time = (text: string) => der(0x17, Buffer.from(text));

/** Somebody with a key and a certificate. */
export type Party = { name: string; key: KeyObject; certificate: string };

/** Signed by the issuer, for 127.0.0.1 or a host by its name; without one it is an authority itself. */
export function party(name: string, issuer?: Party, hostName?: string, { until = "491231235959Z", pair = generateKeyPairSync("ec", { namedCurve: "P-256" }) }: { /** Not valid after: UTCTime. */ until?: string; /** One on a curve, where it is an authority. */ pair?: { privateKey: KeyObject; publicKey: KeyObject } } = {}): Party {
  const { privateKey, publicKey } = pair;
  const isAuthority = extension("551d13", sequence(der(0x01, Buffer.from([0xff]))));
  const isFor = extension("551d11", sequence(hostName ? der(0x82, Buffer.from(hostName)) : der(0x87, Buffer.from([127, 0, 0, 1]))));
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([name.length])), // serial number
    ecdsaWithSha256,
    named(issuer?.name ?? name),
    sequence(time("200101000000Z"), time(until)),
    named(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(issuer ? isFor : isAuthority)),
  );
  const signature = createSign("sha256")
    .update(content)
    .sign(issuer?.key ?? privateKey);
  const certificate = sequence(content, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature)).toString("base64");
  return {
    name,
    key: privateKey,
    certificate: `-----BEGIN CERTIFICATE-----\n${certificate}\n-----END CERTIFICATE-----\n`,
  };
}

export const pem = (key: KeyObject) => String(key.export({ type: "pkcs8", format: "pem" }));
