/**
 * Svelte stores over one session: `$alerts`, `$unread`, `$connection`, `$inbox`. They are what Svelte calls a store, an object with
 * `subscribe`, and so need nothing of Svelte itself, nor a certain version of it.
 *
 * The client is made by the app, which starts it in `onMount`. On a server nothing is asked.
 */
import type { Row, Snapshot, TopicEvent, Watchbell } from "@watchbell/client";
import { type Acts, type InboxList, type ListQuery, type ListSnapshot, acts, listInbox } from "@watchbell/client/list";

export { acts, type ListQuery, type ListSnapshot } from "@watchbell/client/list";

/** A store of Svelte that is only read. */
export interface Readable<T> {
  /** Calls back at once, and after each change. Answers how to stop. */
  subscribe(run: (value: T) => void): () => void;
}

/** Everything that is known. */
export const snapshot = (client: Watchbell): Readable<Snapshot> => picked(client, (all) => all);

/** The inbox, newest first. */
export const alerts = (client: Watchbell): Readable<readonly Row[]> => picked(client, (all) => all.alerts);

export const unread = (client: Watchbell): Readable<number> => picked(client, (all) => all.unread);

/** `status` and beside it `transport`, `ended` and `leads`. It is told anew when one of them changed. */
export function connection(client: Watchbell): Readable<Pick<Snapshot, "status" | "transport" | "ended" | "leads">> {
  let last: Pick<Snapshot, "status" | "transport" | "ended" | "leads"> | undefined;
  return picked(client, ({ status, transport, ended, leads }) =>
    last?.status === status && last.transport === transport && last.ended === ended && last.leads === leads ? last : (last = { status, transport, ended, leads }));
}

/** The last `keep` events of a topic, oldest first. */
export const topic = (client: Watchbell, name: string, keep = 100): Readable<readonly TopicEvent[]> => ({
  subscribe(run) {
    let events: readonly TopicEvent[] = [];
    run(events);
    return client.topic(name, (frame) => run((events = (frame.type === "snapshot" ? frame.events : [...events, frame.event]).slice(-keep))));
  },
});

/**
 * A list of one's own: the alerts that the query finds, page by page from the server, kept true by the session. What is done
 * shows at once.
 */
export function inbox(client: Watchbell, query: ListQuery = {}): Readable<ListSnapshot> & Pick<InboxList, "more" | "refresh"> & Acts {
  const list = listInbox(client, query);
  const { more, refresh, say } = list;
  return { ...picked(list, (all) => all), ...acts(say), more, refresh };
}

/** A part of what a source knows. What did not change is not told again. */
function picked<S, T>(source: { readonly snapshot: S; subscribe(changed: () => void): () => void }, part: (all: S) => T): Readable<T> {
  return {
    subscribe(run) {
      let last = part(source.snapshot);
      run(last);
      // A server draws once, and must not ask on nobody's behalf.
      if (typeof window === "undefined") return () => {};
      return source.subscribe(() => {
        const now = part(source.snapshot);
        if (now !== last) run((last = now));
      });
    },
  };
}
