/** Shamir's secret sharing over GF(2^8), as SOPS splits a data key among key groups: the last byte of a share is its x. */
import { Buffer } from "node:buffer";

/** @throws RangeError for shares that cannot belong together */
export function combineShares(shares: readonly Uint8Array[]): Buffer {
  const [first] = shares;
  if (!first || shares.length < 2) throw new RangeError("two shares or more are needed");
  if (first.length < 2 || shares.some(({ length }) => length !== first.length)) throw new RangeError("the shares differ in length");
  const xs = shares.map((share) => share[share.length - 1] ?? 0);
  if (new Set(xs).size !== xs.length || xs.includes(0)) throw new RangeError("the same share twice");
  const weights = xs.map((x, i) => xs.reduce((weight, other, j) => (i === j ? weight : multiply(weight, divide(other, other ^ x))), 1));
  const secret = Buffer.alloc(first.length - 1);
  for (let at = 0; at < secret.length; at++)
    secret[at] = shares.reduce((sum, share, i) => sum ^ multiply(share[at] ?? 0, weights[i] ?? 0), 0);
  return secret;
}

/** Modulo x^8 + x^4 + x^3 + x + 1, as in AES; the same steps for every value, so that time tells nothing of it. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ (-(product >> 7) & 0x11b);
    product ^= -((b >> bit) & 1) & a;
  }
  return product;
}

/** b^254 is 1/b. */
function divide(a: number, b: number): number {
  let inverse = 1;
  for (let i = 0; i < 254; i++) inverse = multiply(inverse, b);
  return multiply(a, inverse);
}
