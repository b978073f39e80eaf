/**
 * The test runner's own reporter, and beside it, in the file that FLOTILLA_TEST_FAILURES names, one line of JSON, `{ file, name }`,
 * for each test that failed by itself and not for a test within it.
 */
import { appendFileSync } from "node:fs";
import { Readable } from "node:stream";
import { spec, type TestEvent } from "node:test/reporters";

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  yield* Readable.from(noting(events)).pipe(new spec());
}

async function* noting(events: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  const file = process.env["FLOTILLA_TEST_FAILURES"];
  for await (const event of events) {
    if (file && event.type === "test:fail" && !isForSubtests(event.data.details.error)) appendFileSync(file, `${JSON.stringify({ file: event.data.file ?? event.data.name, name: event.data.name })}\n`);
    yield event;
  }
}

const isForSubtests = (error: object): boolean => "failureType" in error && error.failureType === "subtestsFailed";
