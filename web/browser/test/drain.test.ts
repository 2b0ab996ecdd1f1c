/** A pod of a fleet is drained while people look: they move to the other and notice nothing (I10). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bed, ENGINE, states } from "../bed/bed.ts";
import { Fleet } from "../bed/server.ts";
import { until } from "../bed/until.ts";

describe.runIf(ENGINE === "services")("a rolling restart of two pods", () => {
  let bed: Bed<Fleet>;
  beforeAll(async () => { bed = await Bed.on(Fleet.start()); });
  afterAll(() => bed.close());

  it("the indicator stays live, every alert is toasted once", async () => {
    const page = await bed.page(await bed.browser.newContext());
    const [first = "", second = ""] = bed.server.pods;
    const sent: string[] = [];
    for (const [pod, other] of [["socket-1", second], ["socket-2", first]] as const) {
      const handshakes = bed.network.handshakes;
      bed.network.target = other; // What a load balancer does when the pod says that it is not ready.
      let isBack = false;
      const restart = bed.server.tell(`restart ${pod}`).then(() => { isBack = true; });
      for (let round = 0; !isBack; round++) {
        sent.push(await bed.server.send({ title: `While ${pod} leaves, ${round}` }));
        await until("it is shown", async () => (sent[sent.length - 1] ?? "") in (await states(page)));
      }
      await restart;
      expect(bed.network.handshakes).toBe(handshakes + 1);
    }
    const toasts = await page.evaluate(() => window.toasts);
    expect(toasts.filter((id) => sent.includes(id)).sort()).toEqual([...sent].sort());
    const statuses = await page.evaluate(() => window.statuses);
    expect(statuses.slice(statuses.indexOf("live"))).toEqual(["live"]);
    expect(bed.network.open).toBe(1);
  }, 120_000);
});
