import assert from "node:assert/strict";
import test from "node:test";
import { subjectOf, traceparentOf } from "./snapshot.ts";

const subjects = [
  { message: "Roll out 1.2\n\nWhy.", is: "Roll out 1.2" },
  { message: "", is: "" },
  { message: "x".repeat(50), is: "x".repeat(50) },
  { message: "x".repeat(51), is: `${"x".repeat(50)}...` },
  { message: "🚢".repeat(51), is: `${"🚢".repeat(50)}...`, why: "a ship is one character" },
];
for (const { message, is, why = "" } of subjects)
  test(`[SR23] ${JSON.stringify(message.slice(0, 60))} ${why}`, () => assert.equal(subjectOf(message), is));

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const other = trace.replace("0af7", "1bf7");
const trailers = [
  { message: `Subject\n\nTraceparent: ${trace}`, is: trace },
  { message: `Subject\n\nTrace-Parent:  ${trace.toUpperCase()}\nSigned-off-by: Ada`, is: trace },
  { message: `Subject\n\nTraceparent: ${trace}\n\nTraceparent: ${other}\n`, is: other, why: "the last one" },
  { message: `Subject\n\nTraceparent: ${trace}\ntraceparent: nonsense`, is: trace, why: "the last valid one" },
  { message: `Subject\n\nTraceparent: 00-${"0".repeat(32)}-b7ad6b7169203331-01`, is: undefined },
  { message: `Subject\n\nsee Traceparent: ${trace}`, is: undefined, why: "a trailer begins its line" },
  { message: "Subject", is: undefined },
];
for (const { message, is, why = "" } of trailers)
  test(`[SR24] ${JSON.stringify(message)} ${why}`, () => assert.equal(traceparentOf(message), is));
