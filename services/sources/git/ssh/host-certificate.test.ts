import assert from "node:assert/strict";
import test from "node:test";
import { authorizedLine, newKey } from "../../../../deploy/local/ssh-server.ts";
import { hostCertificate, sshAuthority, type CertificateOptions } from "../../../../test/kit/host-certificate.ts";
import { certificateRefusal, readCertificate } from "./host-certificate.ts";
import { hostName, parseKnownHosts } from "./known-hosts.ts";

const host = authorizedLine(newKey("ed25519").private);
const [authority, stranger] = [sshAuthority(), sshAuthority()];
const blobOf = (line: string) => Buffer.from(line.split(" ")[1] ?? "", "base64");
const trusting = `@cert-authority *.example.com ${authority.line}`;
const nowMs = Date.parse("2026-06-01T00:00:00Z");
const hour = 3_600;

const rows: { what: string; made?: CertificateOptions; known?: string[]; by?: typeof authority; name?: string; port?: number; is?: RegExp }[] = [
  { what: "for this host", made: { principals: ["other.example.com", "git.example.com"] } },
  { what: "for all that are named so", made: { principals: ["*.example.com"] } },
  { what: "for every host", made: { principals: [] } },
  { what: "at another port than 22", made: { principals: ["git.example.com"] }, port: 2222, known: [`@cert-authority [*.example.com]:2222 ${authority.line}`] },
  { what: "for other hosts", made: { principals: ["other.example.com"] }, is: /other hosts/ },
  { what: "for users", made: { isForUsers: true, principals: ["git.example.com"] }, is: /for users/ },
  { what: "not yet valid", made: { principals: [], from: nowMs / 1000 + hour }, is: /not valid yet/ },
  { what: "over", made: { principals: [], until: BigInt(nowMs / 1000) }, is: /come to its end/ },
  { what: "valid for another second", made: { principals: [], until: BigInt(nowMs / 1000 + 1) } },
  { what: "with a critical option", made: { principals: [], options: "force-command" }, is: /options/ },
  { what: "of a stranger", by: stranger, made: { principals: [] }, is: /no authority/ },
  { what: "that names the authority, signed by a stranger", made: { principals: [], signer: stranger }, is: /not signed/ },
  { what: "of an authority for others", made: { principals: [] }, known: [`@cert-authority *.example.org ${authority.line}`], is: /no authority/ },
  { what: "of a key that is no authority", made: { principals: [] }, known: [`*.example.com ${authority.line}`], is: /no authority/ },
  { what: "of an authority that is revoked", made: { principals: [] }, known: [trusting, `@revoked * ${authority.line}`], is: /revoked/ },
  { what: "with a key that is revoked", made: { principals: [] }, known: [trusting, `@revoked other.example.com ${host}`], is: /revoked/ },
];
for (const { what, made, known = [trusting], by = authority, name = "git.example.com", port = 22, is } of rows)
  test(`[SR86] a certificate ${what}: ${is ? "refused" : "taken"}`, () => {
    const blob = blobOf(hostCertificate(host, by, made));
    const why = certificateRefusal(parseKnownHosts(known.join("\n")), hostName(name, port), name, blob, nowMs);
    if (is) assert.match(why ?? "", is);
    else assert.equal(why, undefined);
  });

test("[SR86] keys and authorities of every kind that is read", () => {
  for (const kind of ["ed25519", "ecdsa", "rsa"] as const)
    for (const type of ["ed25519", "ecdsa", "rsa"] as const) {
      const [by, key] = [sshAuthority(kind), authorizedLine(newKey(type).private)];
      const blob = blobOf(hostCertificate(key, by, { principals: [] }));
      assert.deepEqual(readCertificate(blob)?.key, blobOf(key));
      assert.equal(certificateRefusal(parseKnownHosts(`@cert-authority * ${by.line}`), "a", "a", blob, nowMs), undefined, `${type} by ${kind}`);
    }
});

test("[SR86] one that breaks off, goes on, or was changed anywhere is refused", () => {
  const known = parseKnownHosts(trusting);
  const blob = blobOf(hostCertificate(host, authority, { principals: [] }));
  const refused = (bytes: Buffer) => assert.ok(certificateRefusal(known, "git.example.com", "git.example.com", bytes, nowMs));
  for (let at = 0; at < blob.length; at++) {
    refused(blob.subarray(0, at));
    const changed = Buffer.from(blob);
    changed[at] = (changed[at] ?? 0) ^ 1;
    refused(changed);
  }
  refused(Buffer.concat([blob, Buffer.of(0)]));
});
