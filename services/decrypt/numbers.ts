/** Numbers as Go writes them: SOPS hashes and prints them so. */

/** Shortest digits that read back the same, and where the decimal point stands: 0.ddd × 10^exponent. */
function shortest(value: number): { digits: string; exponent: number } {
  const [mantissa = "0", exponent = "0"] = Math.abs(value).toExponential().split("e");
  return { digits: mantissa.replace(".", ""), exponent: Number(exponent) + 1 };
}

const notFinite = (value: number): string | undefined =>
  Number.isNaN(value) ? "NaN" : value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : undefined;

const sign = (value: number) => (value < 0 || Object.is(value, -0) ? "-" : "");

/** strconv.FormatFloat(value, 'f', -1, 64) */
export function plainFloat(value: number): string {
  const { digits, exponent } = shortest(value);
  if (value === 0) return `${sign(value)}0`;
  const text =
    exponent <= 0 ? `0.${"0".repeat(-exponent)}${digits}`
    : exponent >= digits.length ? digits + "0".repeat(exponent - digits.length)
    : `${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
  return notFinite(value) ?? sign(value) + text;
}

/** strconv.FormatFloat(value, 'g' or 'G', -1, 64) */
export function shortFloat(value: number, letter: "e" | "E" = "e"): string {
  const special = notFinite(value);
  if (special || value === 0) return special ?? plainFloat(value);
  const { digits, exponent } = shortest(value);
  const power = exponent - 1;
  if (power >= -4 && power < 6) return plainFloat(value);
  const mantissa = digits.length > 1 ? `${digits.slice(0, 1)}.${digits.slice(1)}` : digits;
  return `${sign(value)}${mantissa}${letter}${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
