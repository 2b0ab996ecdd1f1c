import { describe, expect, it } from "vitest";
import { tomlOf } from "../src/policies.ts";

const plain = { name: "slow", steps: [{ channel: "email", after: "1h", unless: [] }], mandatory: false, expires_after: "", group: "each" as const };

describe("a policy as text", () => {
  it("has what was chosen and nothing else", () => {
    expect(tomlOf(plain)).toBe('[policies.slow]\nsteps = [\n  {channel = "email", after = "1h"},\n]\n');
    expect(tomlOf({ ...plain, steps: [{ channel: "sms", after: "5m", unless: ["pushed"] }], mandatory: true, expires_after: "2d", group: "first_acknowledges" }))
      .toBe('[policies.slow]\nsteps = [\n  {channel = "sms", after = "5m", unless = ["pushed"]},\n]\nmandatory = true\nexpires_after = "2d"\ngroup = "first_acknowledges"\n');
  });

  it("quotes what a name or a time may hold, and says of `critical` that it is not mandatory", () => {
    expect(tomlOf({ ...plain, name: 'a"b' })).toContain('[policies."a\\"b"]');
    expect(tomlOf({ ...plain, steps: [{ channel: "push", after: '"', unless: [] }] })).toContain('after = "\\""');
    expect(tomlOf({ ...plain, name: "critical" })).toContain("mandatory = false");
  });
});
