import assert from "node:assert/strict";
import { test } from "node:test";
import { readS3Address } from "./s3-address.ts";

const rows: { text: string; address?: object; refused?: RegExp }[] = [
  { text: "s3://flotilla", address: { bucket: "flotilla", prefix: "", origin: "https://s3.amazonaws.com", region: undefined } },
  { text: "s3://flotilla/clusters/one/?region=eu-west-1", address: { bucket: "flotilla", prefix: "clusters/one", origin: "https://s3.eu-west-1.amazonaws.com", region: "eu-west-1" } },
  { text: "s3://flotilla/a?region=cn-north-1", address: { bucket: "flotilla", prefix: "a", origin: "https://s3.cn-north-1.amazonaws.com.cn", region: "cn-north-1" } },
  { text: "s3://flotilla?endpoint=minio.example:9000", address: { bucket: "flotilla", prefix: "", origin: "https://minio.example:9000", region: undefined } },
  { text: "s3://flotilla?endpoint=http://minio:9000&region=garage", address: { bucket: "flotilla", prefix: "", origin: "http://minio:9000", region: "garage" } },
  { text: "flotilla", refused: /not an address/ },
  { text: "https://flotilla/a", refused: /not s3:/ },
  { text: "s3://key:secret@flotilla/a", refused: /^(?!.*secret@).*credentials do not belong there/ },
  { text: "s3://F", refused: /not the name of a bucket/ },
  { text: "s3://flotilla/../other", address: { bucket: "flotilla", prefix: "other", origin: "https://s3.amazonaws.com", region: undefined } },
  { text: "s3://flotilla/a%2F..%2Fb", refused: /not a prefix/ },
  { text: "s3://flotilla?endpoint=https://minio.example/path", refused: /endpoint: a host/ },
  { text: "s3://flotilla?regoin=eu-west-1", refused: /regoin: there are endpoint and region/ },
];
for (const { text, address, refused } of rows)
  test(`[SR51] ${text.replace("secret", "…")} -> ${refused ? "refused" : JSON.stringify(address)}`, () =>
    refused ? assert.throws(() => readS3Address(text), (error: unknown) => error instanceof RangeError && refused.test(error.message)) : assert.deepEqual(readS3Address(text), address));
