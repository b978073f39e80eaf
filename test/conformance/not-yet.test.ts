import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { notYet } from "#protocol/api/not-yet.ts";

test("[API20] docs/spec/api.md lists what is not yet acted on, and nothing else", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/spec/api.md"), "utf8");
  const listed = [...page.matchAll(/^\| (\w+) \| `(\S+)` \| (.*?) ?\| (refused|warned).*\| issue (\d) \|$/gm)].map(
    (row) => row.slice(1).join(" "),
  );
  const actual = Object.entries(notYet).flatMap(([kind, entries]) =>
    entries.map(({ field, only, without, issue }) =>
      [kind, field, only?.words ?? "", without === "refuse" ? "refused" : "warned", issue].join(" "),
    ),
  );
  assert.deepEqual(listed, actual);
});
