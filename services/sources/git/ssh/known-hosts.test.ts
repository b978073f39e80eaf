import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import { authorizedLine, newKey } from "../../../../deploy/local/ssh-server.ts";
import { hasAuthority, hostName, judge, keysOf, parseKnownHosts, type HostVerdict } from "./known-hosts.ts";

const [ours, other] = [newKey("ed25519"), newKey("ed25519")].map(({ private: pem }) => authorizedLine(pem)) as [string, string];
const blob = (line: string) => Buffer.from(line.split(" ")[1] ?? "", "base64");

function hashed(name: string): string {
  const salt = Buffer.from("01234567890123456789");
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}

const rows: { lines: string[]; host: string; port?: number; is: HostVerdict; why?: string }[] = [
  { lines: [`git.example.com ${ours}`], host: "git.example.com", is: "known" },
  { lines: [`git.example.com ${ours} a comment`], host: "GIT.example.com", is: "known", why: "names have no case" },
  { lines: ["# comment", "", `\t git.example.com\t${ours}\r`], host: "git.example.com", is: "known" },
  { lines: [`git.example.com ${other}`], host: "git.example.com", is: "changed" },
  { lines: [`git.example.com ${other}`, `git.example.com ${ours}`], host: "git.example.com", is: "known", why: "any of its keys" },
  { lines: [`other.example.com ${ours}`], host: "git.example.com", is: "unknown" },
  { lines: [`git.example.com ${ours}`], host: "git.example.com", port: 2222, is: "unknown", why: "a line without a port is about port 22" },
  { lines: [`[git.example.com]:2222 ${ours}`], host: "git.example.com", port: 2222, is: "known" },
  { lines: [`[git.example.com]:2222 ${ours}`], host: "git.example.com", is: "unknown" },
  { lines: [`[git.example.com]:22 ${ours}`], host: "git.example.com", is: "known" },
  { lines: [`a.example.com,*.example.com,10.0.0.? ${ours}`], host: "10.0.0.7", is: "known" },
  { lines: [`*.example.com ${ours}`], host: "deep.git.example.com", is: "known" },
  { lines: [`*.example.com,!git.example.com ${ours}`], host: "git.example.com", is: "unknown", why: "denied" },
  { lines: [`!git.example.com ${ours}`], host: "other.example.com", is: "unknown", why: "not denied is not named" },
  { lines: [`${hashed("git.example.com")} ${ours}`], host: "git.example.com", is: "known" },
  { lines: [`${hashed("git.example.com")} ${ours}`], host: "other.example.com", is: "unknown" },
  { lines: [`${hashed("[git.example.com]:2222")} ${ours}`], host: "git.example.com", port: 2222, is: "known" },
  { lines: [`git.example.com ${ours}`, `@revoked * ${ours}`], host: "git.example.com", is: "revoked" },
  { lines: [`git.example.com ${ours}`, `@revoked other.example.com ${ours}`], host: "git.example.com", is: "revoked", why: "a key that is lost is lost everywhere" },
  { lines: [`@cert-authority *.example.com ${ours}`], host: "git.example.com", is: "unknown", why: "an authority is no host" },
  { lines: [`${"*a".repeat(300)}b ${ours}`], host: "a".repeat(2_000), is: "unknown", why: "many stars" },
];
for (const { lines, host, port = 22, is, why = "" } of rows)
  test(`[SR63] ${host}:${port} by ${lines.map((line) => line.replaceAll(/AAAA\S+/g, "KEY").slice(0, 60)).join("; ")}: ${is} ${why}`, () =>
    assert.equal(judge(parseKnownHosts(lines.join("\n")), hostName(host, port), blob(ours)), is));

test("[SR63] an authority is told from a key", () => {
  const entries = parseKnownHosts(`@cert-authority *.example.com ${ours}\ngit.example.org ${other}`);
  assert.ok(hasAuthority(entries, "git.example.com"));
  assert.ok(!hasAuthority(entries, "git.example.org"));
  assert.deepEqual(keysOf(entries, "git.example.com"), []);
});

for (const line of [
  "git.example.com",
  "git.example.com ssh-ed25519",
  "git.example.com ssh-ed25519 !!!!",
  `git.example.com ssh-rsa ${ours.split(" ")[1]}`,
  `@other git.example.com ${ours}`,
  `|2|AAAA|AAAA ${ours}`,
  `|1|AAAA ${ours}`,
  `a,,b ${ours}`,
])
  test(`[SR63] ${line.slice(0, 50)}: not readable, and its line is named`, () =>
    assert.throws(() => parseKnownHosts(`git.example.com ${other}\n${line}`), /^RangeError: line 2 of known_hosts/));
