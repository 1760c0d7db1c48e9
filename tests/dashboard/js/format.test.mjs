import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../../service/dashboard/js/format.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

test("numbers read as people write them", () => {
  const shown = { 0.00032: "3.2e-4", 487.31: "487.3", 478.003: "478.0", 0.5: "0.5", 12345.6: "12,346", 5: "5", 0: "0", 3e9: "3e9", 0.00072004: "7.20e-4" };
  for (const [given, text] of Object.entries(shown)) assert.equal(format.number(Number(given)), text);
  assert.equal(format.number(-0.0123456), "-0.01235");
  assert.equal(format.number(null), "–");
  assert.equal(format.number(Infinity), "∞");
});

test("counts get a unit, and the next one where rounding reaches it", () => {
  const shown = { 950: "950", 98304: "98.3 k", 1234567: "1.23 M", 999_600: "1 M", 999_400: "999 k", 100_000: "100 k" };
  for (const [given, text] of Object.entries(shown)) assert.equal(plain(format.compact(Number(given))), text);
});

test("durations", () => {
  const shown = { 4.24: "4.2 s", 42: "42 s", 192: "3 m 12 s", 3840: "1 h 04 m", 183600: "2 d 3 h", 0: "0 s" };
  for (const [given, text] of Object.entries(shown)) assert.equal(plain(format.duration(Number(given))), text);
});

test("a time without a zone is UTC, and elapsed goes on until there is an end", () => {
  assert.equal(format.instant("2026-01-01T00:00:00"), format.instant("2026-01-01T01:00:00+01:00"));
  const now = format.instant("2026-01-01T00:01:00Z");
  assert.equal(format.elapsed("2026-01-01T00:00:00Z", null, now), 60);
  assert.equal(format.elapsed("2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", now), 10);
  assert.equal(format.elapsed(null, null, now), null);
});

test("the line of an error that says what happened", () => {
  assert.equal(format.errorLine("ValueError: x\nTraceback (most recent call last):\n  a"), "ValueError: x");
  assert.equal(format.errorLine("Traceback (most recent call last):\n  File\nValueError: y\n"), "ValueError: y");
  assert.equal(format.errorLine(null), "");
});
