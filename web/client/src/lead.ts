/** Which tab leads: a Web Lock makes it one of them for as long as it lives, so a dead leader is replaced at once. */

/** Times that the lead may be stolen without a word from another tab, before this tab goes on by itself. */
const ROBBERIES_MAX = 2;

export interface Turns {
  /** This tab leads from now on; or another one does. */
  lead(): void;
  follow(): void;
  /** There is no agreeing with the others. */
  alone(error: unknown): void;
}

export interface Line {
  /** Leads in place of a leader that stands still. */
  steal(): void;
  /** Gives the lead to the tab that has waited longest, and waits behind the others. */
  yield(): void;
  /** Another tab was heard, so a lead that is stolen is stolen for a reason. */
  heard(): void;
  leave(): void;
}

/** Waits in line for the lock of this name, and again when it was given up or stolen. */
export function lineUp(name: string, turns: Turns): Line {
  const left = new AbortController();
  const { signal } = left;
  let release = () => {};
  let robberies = 0;
  const hold = (lock: Lock | null) => {
    if (!lock || signal.aborted) return undefined;
    return new Promise<void>((resolve) => { release = resolve; turns.lead(); });
  };
  /** Leads for as long as this turn is ours. */
  const take = async (options: LockOptions) => {
    try {
      await navigator.locks.request(name, options, hold);
    } catch (error) {
      const isStolen = (error as Partial<Error> | null)?.name === "AbortError" && robberies++ < ROBBERIES_MAX;
      if (!signal.aborted && !isStolen) turns.alone(error);
    }
    if (!signal.aborted) turns.follow();
  };
  const wait = async () => {
    await null; // Whoever called has this line before it is told of a turn.
    await take({ ifAvailable: true });
    while (!signal.aborted) await take({ signal });
  };
  void wait();
  return {
    steal: () => void take({ steal: true }),
    yield: () => release(),
    heard: () => { robberies = 0; },
    leave: () => { left.abort(); release(); },
  };
}
