/** A session whose answers are written down before, for what is built on a session: the list, and the hooks of frameworks. */
import type { Events, Snapshot, TopicFrame, Watchbell } from "@watchbell/client";

const START: Snapshot = {
  status: "live", reason: null, transport: "ws", ended: null, user: "ana", unread: 0, waiting: 0, alerts: [], loaded: true, hasMore: false, leads: true,
};

/** `answers` are those of `client.request`, in order. Without one, a request waits for `answer`. */
export function scripted(answers: readonly unknown[] = []) {
  const asked: string[] = [];
  const said: unknown[][] = [];
  const calls: string[] = [];
  const waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void }[] = [];
  const changed = new Set<() => void>();
  const heard = new Map<keyof Events, Set<(event: never) => void>>();
  const topics = new Map<string, Set<(frame: TopicFrame) => void>>();
  let snapshot = START;
  let done = 0;

  const into = <T>(set: Set<T>, one: T) => {
    set.add(one);
    return () => void set.delete(one);
  };
  const of = <K, T>(map: Map<K, Set<T>>, key: K): Set<T> => map.get(key) ?? map.set(key, new Set()).get(key) ?? new Set();

  const client = {
    get snapshot() { return snapshot; },
    subscribe: (listener: () => void) => into(changed, listener),
    on: (kind: keyof Events, listener: (event: never) => void) => into(of(heard, kind), listener),
    topic: (name: string, listener: (frame: TopicFrame) => void) => into(of(topics, name), listener),
    say: (...all: unknown[]) => void said.push(all.filter((one) => one !== undefined)),
    start: () => void calls.push("start"),
    stop: () => void calls.push("stop"),
    more: () => void calls.push("more"),
    readAll: () => { calls.push("readAll"); return Promise.resolve(); },
    request: (_: string, path: string) => {
      const nth = asked.push(path) - 1;
      const answered = new Promise((resolve, reject) => waiting.push({ resolve, reject })).finally(() => { done++; });
      if (nth < answers.length) answer(nth, answers[nth]);
      return answered;
    },
  } as unknown as Watchbell;

  function answer(nth: number, answer: unknown): void {
    if (answer instanceof Error) waiting[nth]?.reject(answer);
    else waiting[nth]?.resolve(answer);
  }

  return {
    client, asked, said, calls, answer,
    set(more: Partial<Snapshot>): void {
      snapshot = { ...snapshot, ...more };
      for (const listener of [...changed]) listener();
    },
    emit<K extends keyof Events>(kind: K, event: Events[K]): void {
      for (const listener of of(heard, kind)) (listener as (event: Events[K]) => void)(event);
    },
    refuse(title: string): void {
      for (const listener of of(heard, "refused")) (listener as (event: { title: string }) => void)({ title });
    },
    publish(frame: TopicFrame): void {
      for (const listener of of(topics, frame.topic)) listener(frame);
    },
    /** Resolves when so many requests were answered, and what follows from that is done. */
    async answered(count = 1): Promise<void> {
      do await new Promise((resolve) => { setImmediate(resolve); }); while (done < count);
    },
    listeners: (): number => [changed, ...heard.values(), ...topics.values()].reduce((sum, set) => sum + set.size, 0),
  };
}
