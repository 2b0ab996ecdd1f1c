/** Random stories of a session: whatever faults come in whatever order, once they are over the inbox is exact. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Said } from "../src/protocol.ts";
import { type Fault, World, expectPaced, expectSettled } from "./world.ts";

type Act =
  | { act: "publish"; id: number; fault: Fault }
  | { act: "receive" | "say"; ids: number[]; said: Said; fault: Fault }
  | { act: "delete"; ids: number[]; fault: Fault }
  | { act: "kill"; code: number }
  | { act: "block"; transport: "ws" | "sse" | "poll" }
  | { act: "garble"; id: number }
  | { act: "hang" | "answer" | "nobody" | "throw" | "portal" | "no-portal" | "sleep" | "retry" | "sign-in" | "stolen" }
  | { act: "freeze" | "goaway" | "expire" | "ping" | "down" | "up" | "unblock" | "offline" | "online" | "hide" | "show" | "history" | "more" }
  | { act: "pass"; ms: number };

const fault = fc.constantFrom<Fault>("none", "none", "lost", "late", "twice");
const snoozed = (until: string): Said => ({ state: "snoozed", until });
const said = fc.constantFrom<Said>({ state: "seen" }, { state: "read" }, { state: "dismissed" }, { state: "unread" }, snoozed("2027-01-01T09:00:00Z"), snoozed("2027-01-02T09:00:00Z"));
const acts: fc.Arbitrary<Act>[] = [
  fc.record({ act: fc.constant("publish" as const), id: fc.nat(20), fault }),
  fc.record({ act: fc.constant("publish" as const), id: fc.nat(20), fault }),
  fc.record({ act: fc.constantFrom("receive" as const, "say" as const), ids: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }), said, fault }),
  fc.record({ act: fc.constant("kill" as const), code: fc.constantFrom(1006, 1000, 4100, 4102, 4103, 4200) }),
  fc.record({ act: fc.constant("block" as const), transport: fc.constantFrom("ws" as const, "sse" as const, "poll" as const) }),
  fc.record({ act: fc.constantFrom("freeze" as const, "goaway" as const, "expire" as const, "ping" as const, "down" as const, "up" as const, "unblock" as const, "offline" as const, "online" as const, "hide" as const, "show" as const, "history" as const, "more" as const) }),
  fc.record({ act: fc.constant("garble" as const), id: fc.nat(20) }),
  fc.record({ act: fc.constantFrom("hang" as const, "answer" as const, "nobody" as const, "throw" as const, "portal" as const, "no-portal" as const, "sleep" as const, "retry" as const, "sign-in" as const, "stolen" as const) }),
  fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(1, 7, 30, 300, 3_000, 40_000) }),
];
const deletion: fc.Arbitrary<Act> = fc.record({ act: fc.constant("delete" as const), ids: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }), fault });

function play(world: World, act: Act): void {
  switch (act.act) {
    case "publish": return world.publish(`a${act.id}`, act.fault);
    case "receive": return world.receive(act.ids.map((id) => `a${id}`), act.said.state, undefined, act.fault, act.said.until);
    case "say": {
      const known = act.ids.map((id) => `a${id}`).filter((id) => world.state.inbox.rows.has(id));
      return known.length ? world.say(known, act.said.state, act.said.until) : undefined;
    }
    case "delete": return world.delete(act.ids.map((id) => `a${id}`), act.fault);
    case "kill": return world.kill(act.code);
    case "block": world.blocked.add(act.transport); return;
    case "unblock": world.blocked.clear(); return;
    case "freeze": return world.freeze();
    case "goaway": return world.goaway();
    case "expire": return world.expireToken();
    case "ping": return world.ping();
    case "down": world.up = false; return world.kill(1006);
    case "up": world.up = true; return;
    case "offline": return world.hear({ kind: "offline" });
    case "online": return world.hear({ kind: "online" });
    case "hide": return world.hear({ kind: "visibility", visibility: "hidden" });
    case "show": return world.hear({ kind: "visibility", visibility: "visible" });
    case "history": return world.newHistory();
    case "more": return world.hear({ kind: "more" });
    case "garble": return world.garble(act.id);
    case "hang": world.callback = "hangs"; return;
    case "answer": world.callback = "answers"; return;
    case "nobody": world.callback = "nobody"; return;
    case "throw": world.callback = "throws"; return;
    case "portal": world.portal = true; return;
    case "no-portal": world.portal = false; return;
    case "sleep": return world.sleep(7_200_000);
    case "retry": return world.hear({ kind: "retry" });
    case "sign-in": return world.hear({ kind: "sign-in" });
    // The lead went to another tab while this one stood still, and comes back.
    case "stolen": world.hear({ kind: "role", role: "follower" }); return world.hear({ kind: "role", role: "leader" });
    case "pass": return world.pass(act.ms);
  }
}

describe("whatever happens", () => {
  it.each([
    ["and no alert is toasted twice or missed", acts],
    ["also where rows are deleted", [...acts, deletion]],
  ])("the inbox is exact once the faults are over, %s", (_, acts) => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.oneof(...acts), { maxLength: 60 }), (seed, script) => {
        const world = new World(seed);
        world.keepPinging();
        world.hear({ kind: "start" });
        world.pass(500);
        let isOneHistory = true;
        for (const act of script) {
          play(world, act);
          // Whoever comes back from before a deletion starts over; and a deleted alert may be published anew.
          isOneHistory &&= act.act !== "history" && act.act !== "delete";
          expect(world.conns.size).toBeLessThanOrEqual(2);
        }
        world.up = true;
        world.portal = false;
        world.callback = "answers";
        world.blocked.clear();
        world.hear({ kind: "visibility", visibility: "visible" });
        world.hear({ kind: "online" });
        world.pass(1_500_000);
        expectSettled(world);
        expectPaced(world);
        if (!isOneHistory) return;
        for (const [id, count] of world.news) expect([id, count]).toEqual([id, 1]);
        // Up to the five rows of a page everything that nobody has touched was said to be new.
        for (const { alert, state } of world.rows.values()) {
          if (state === "new" && world.rows.size <= 5) expect(world.news.has(alert.id)).toBe(true);
        }
      }),
      { numRuns: Number(process.env["RUNS"] ?? 500) },
    );
  }, 120_000);
});
