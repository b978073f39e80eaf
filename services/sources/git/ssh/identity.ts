/** What can be told of a private key without the SSH library, which takes a while to load. */

export type Identity = { pem: string; passphrase: string };

/** The largest RSA keys in use stay far below it. */
export const longestKey = 32 * 1024;

/** Taking off its passphrase is meant to take long: not on a thread that others wait for. */
export const isLocked = ({ pem }: Identity): boolean => kdfOf(pem) !== undefined;

/** How OpenSSH's format protects the key; undefined when it does not, or is another format. */
export function kdfOf(pem: string): { rounds: number } | undefined {
  const [, text = ""] = /^\s*-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem.slice(0, longestKey)) ?? [];
  const fields = new Fields(Buffer.from(text, "base64").subarray("openssh-key-v1\0".length));
  const [cipher, , options] = [fields.next(), fields.next(), fields.next()];
  if (cipher === undefined || options === undefined || cipher.toString() === "none") return undefined;
  const inner = new Fields(options);
  inner.next();
  const rounds = inner.rest();
  return { rounds: rounds.length >= 4 ? rounds.readUInt32BE(0) : 0 };
}

/** Texts with their length in front, as everywhere in SSH. */
class Fields {
  private bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  next(): Buffer | undefined {
    if (this.bytes.length < 4) return undefined;
    const length = this.bytes.readUInt32BE(0);
    if (this.bytes.length < 4 + length) return undefined;
    const field = this.bytes.subarray(4, 4 + length);
    this.bytes = this.bytes.subarray(4 + length);
    return field;
  }

  rest(): Buffer {
    return this.bytes;
  }
}
