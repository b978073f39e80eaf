/** Rows under capital headings, as Flux's command prints them. */
import { printable } from "#services/telemetry/waterfall/format.ts";

export function table(headings: string[], rows: string[][]): string {
  const lines = [headings.map((heading) => heading.toUpperCase()), ...rows.map((row) => row.map(printable))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("\t")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
