import assert from "node:assert/strict";
import test from "node:test";
import { signed } from "./signature.ts";

// Amazon S3, API reference, "Signature calculations: examples"
const example = { id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token: "" };
const atMs = Date.parse("2013-05-24T00:00:00Z");
const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const rows = [
  { path: "/test.txt", headers: { range: "bytes=0-9" }, signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
  { path: "/?lifecycle=", headers: {}, signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
  { path: "/?prefix=J&max-keys=2", headers: {}, signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
];
for (const { path, headers, signature } of rows)
  test(`[BU16] GET ${path} is signed as Amazon's example is`, () => {
    const url = `https://examplebucket.s3.amazonaws.com${path}`;
    const made = signed({ method: "GET", url, headers: { ...headers, "x-amz-content-sha256": nothing }, body: "" }, example, { service: "s3", region: "us-east-1" }, atMs);
    assert.equal(/Signature=(.*)$/.exec(made.headers["authorization"] ?? "")?.[1], signature);
  });
