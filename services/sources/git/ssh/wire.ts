/** SSH's wire format (RFC 4251, 5): texts with their length in front. */

export function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export class Reader {
  private bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.bytes.length === 0;
  }

  get left(): number {
    return this.bytes.length;
  }

  take(length: number): Buffer {
    if (this.bytes.length < length) throw new RangeError("the signature is not readable");
    const taken = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return taken;
  }

  number(): number {
    return this.take(4).readUInt32BE(0);
  }

  next(): Buffer {
    return this.take(this.number());
  }
}
