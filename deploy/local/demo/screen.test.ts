import assert from "node:assert/strict";
import test from "node:test";
import { columns, createScreen, indent, readableLogLine, seconds, type Screen } from "./screen.ts";

const times = [
  { ms: 0, text: "    0.0s" },
  { ms: -3, text: "    0.0s", why: "two clocks may differ by a little" },
  { ms: 449, text: "    0.4s" },
  { ms: 12_340, text: "   12.3s" },
  { ms: 59_949, text: "   59.9s" },
  { ms: 59_960, text: "   1m00s", why: "never 60.0s" },
  { ms: 754_000, text: "  12m34s" },
];
for (const { ms, text, why = "" } of times) test(`${ms} ms is shown as "${text.trim()}" ${why}`, () => assert.equal(seconds(ms), text));

const logLines = [
  {
    title: "a line of Flotilla: level, object, message, error",
    line: '{"level":"error","controllerKind":"Kustomization","namespace":"apps","name":"web","msg":"build failed","error":"no such file"}',
    text: "error  Kustomization/apps/web: build failed: no such file",
  },
  { title: "only the first line of a message", line: '{"level":"info","msg":"applied\\nService/web created"}', text: "info   applied" },
  { title: "another program's line stays as it is", line: "panic: out of luck", text: "panic: out of luck" },
  { title: "JSON that is no object stays as it is", line: "42", text: "42" },
  { title: "a long line is cut", line: "x".repeat(500), text: `${"x".repeat(219)}…` },
];
for (const { title, line, text } of logLines) test(`log: ${title}`, () => assert.equal(readableLogLine(line), text));

test("text moves right of the clock, and empty lines carry no blanks", () => {
  assert.equal(indent("a\n\n  b \n"), "          a\n\n            b");
});

test("the first column is as wide as its widest entry", () => {
  assert.equal(columns([["Log", "x"], ["Flotilla", "y"]]), "Log       x\nFlotilla  y");
});

function record(play: (screen: Screen, advance: (ms: number) => void) => void, colour = false): string {
  let nowMs = 1_000;
  let text = "";
  const screen = createScreen({ write: (more) => void (text += more), nowMs: () => nowMs, steps: 2, width: 80, colour });
  play(screen, (ms) => void (nowMs += ms));
  return text;
}

test("a step has a number, a name and a reason, and its own clock", () => {
  const text = record((screen, advance) => {
    screen.title("Demo", "one line");
    advance(5_000);
    screen.step("First", "because");
    advance(1_200);
    screen.done("thing happened");
    screen.block("a table\nof two rows");
    screen.step("Second", "therefore");
    advance(4_000);
    screen.restartClock();
    advance(300);
    screen.command("kubectl get pods");
    screen.done("other thing");
  });
  assert.equal(text, `Demo
one line

[1/2] First
          because
    1.2s  thing happened

          a table
          of two rows

[2/2] Second
          therefore
          $ kubectl get pods
    0.3s  other thing
`);
});

test("a failure names the step, what was expected, and the end of the log", () => {
  const text = record((screen) => {
    screen.step("First", "because");
    screen.failure({ reason: "expected: a pod\nbut: none", log: { name: "the log", lines: ["error  no image"] } });
  });
  assert.match(text, /The demo stopped in step 1 of 2: First\.\n {10}expected: a pod\n {10}but: none\n\nThe end of the log:\n {10}error {2}no image\n$/);
});

test("escape sequences are written only where colour is asked for", () => {
  const play = (screen: Screen) => {
    screen.step("First", "because");
    screen.done("x");
  };
  const escape = String.fromCharCode(27);
  assert.equal(record(play).includes(escape), false);
  assert.equal(record(play, true).includes(`${escape}[`), true);
});
