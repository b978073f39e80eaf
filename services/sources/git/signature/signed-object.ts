/** A commit or tag as it was signed: what the signature is over, and the signature (git: Documentation/gitformat-signature). */

export type SignedObject = { payload: Buffer; /** Armoured; empty when it is not signed. */ signature: string };

export type SignatureKind = "openpgp" | "ssh" | "x509" | "unknown" | "empty";

const armours: [string, SignatureKind][] = [
  ["-----BEGIN PGP SIGNATURE-----", "openpgp"],
  ["-----BEGIN SSH SIGNATURE-----", "ssh"],
  ["-----BEGIN SIGNED MESSAGE-----", "x509"],
];

/**
 * A commit carries its signature in a header, which its own payload lacks.
 *
 * @throws RangeError when it has several: which of them counts would be a matter of opinion
 */
export function splitCommit(contents: Buffer): SignedObject {
  const text = contents.toString("latin1");
  const end = text.indexOf("\n\n");
  const [head, rest] = end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end)];
  const kept: string[] = [];
  const signatures: string[][] = [];
  let into: string[] = kept;
  for (const line of head.split("\n")) {
    if (line.startsWith(" ")) {
      into.push(into === kept ? line : line.slice(1)); // goes on with the header before it
      continue;
    }
    const [name] = line.split(" ", 1);
    if (name === "gpgsig") signatures.push((into = [line.slice("gpgsig ".length)]));
    else if (name === "gpgsig-sha256") into = [];
    else (into = kept).push(line);
  }
  if (signatures.length > 1) throw new RangeError("it has more than one signature");
  return { payload: Buffer.from(kept.join("\n") + rest, "latin1"), signature: (signatures[0] ?? []).join("\n") };
}

/** A tag ends with its signature: from the last line on that begins one. */
export function splitTag(contents: Buffer): SignedObject {
  const text = contents.toString("latin1");
  const starts = armours.flatMap(([armour]) => [...text.matchAll(new RegExp(`^${armour}`, "gm"))].map(({ index }) => index));
  const at = Math.max(-1, ...starts);
  return at < 0 ? { payload: contents, signature: "" } : { payload: contents.subarray(0, at), signature: text.slice(at) };
}

/** The name that is written in a tag, and so signed with it. */
export const nameInTag = (contents: Buffer): string => /^tag (.*)$/m.exec(contents.toString("utf8").split("\n\n", 1)[0] ?? "")?.[1] ?? "";

export function kindOf(signature: string): SignatureKind {
  const text = signature.trim();
  if (text === "") return "empty";
  return armours.find(([armour]) => text.startsWith(armour))?.[1] ?? "unknown";
}
