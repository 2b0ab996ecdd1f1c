/** React hooks over one session. The build begins the file with `"use client"`. The client is made and started by the app, and given by `<WatchbellProvider>`. */
import type { Row, Snapshot, TopicEvent, Watchbell } from "@watchbell/client";
import { type ListQuery, acts, listInbox } from "@watchbell/client/list";
import { type HTMLAttributes, type ReactNode, type Ref, createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";

/** `<watchbell-inbox client={client} />`, of @watchbell/inbox. Its properties are set by React 19 and newer. */
interface InboxAttributes extends HTMLAttributes<HTMLElement> {
  client?: Watchbell;
  inline?: boolean;
  theme?: "light" | "dark";
  toasts?: "off";
  "manual-seen"?: boolean;
  "push-worker"?: string;
  ref?: Ref<HTMLElement>;
}
declare module "react" {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- React's own way to name an element.
  namespace JSX {
    interface IntrinsicElements {
      "watchbell-inbox": InboxAttributes;
    }
  }
}

export type { ListQuery } from "@watchbell/client/list";

const Context = createContext<Watchbell | null>(null);

/** Gives the client to the hooks below it. Starts it, and stops it when it goes. */
export function WatchbellProvider({ client, children }: { client: Watchbell; children?: ReactNode }): ReactNode {
  useEffect(() => {
    client.start();
    return () => client.stop();
  }, [client]);
  return createElement(Context.Provider, { value: client }, children);
}

export function useWatchbell(): Watchbell {
  const client = useContext(Context);
  if (!client) throw new Error("useWatchbell needs a <WatchbellProvider> above it");
  return client;
}

export function useSnapshot(): Snapshot {
  const client = useWatchbell();
  return useSyncExternalStore(client.subscribe, () => client.snapshot, () => client.snapshot);
}

/** The inbox, and what can be done with it. */
export function useAlerts() {
  const client = useWatchbell();
  const { alerts, loaded, hasMore } = useSnapshot();
  const does = useMemo(() => ({ ...acts((...said) => client.say(...said)), readAll: () => client.readAll(), more: () => client.more() }), [client]);
  return { alerts, loaded, hasMore, ...does };
}

/**
 * A list of one's own: the alerts that the query finds, page by page from the server, kept true by the session. What is done
 * shows at once. A query with other content makes another list; the same content in a new object does not.
 */
export function useInbox(query: ListQuery = {}) {
  const client = useWatchbell();
  const content = JSON.stringify(query);
  const list = useMemo(() => listInbox(client, JSON.parse(content) as ListQuery), [client, content]);
  const shown = useSyncExternalStore(list.subscribe, () => list.snapshot, () => list.snapshot);
  return useMemo(() => ({ ...shown, ...acts(list.say), more: list.more, refresh: list.refresh }), [shown, list]);
}

export function useUnread(): number {
  return useSnapshot().unread;
}

export function useConnection(): Pick<Snapshot, "status" | "transport" | "ended" | "leads"> {
  const { status, transport, ended, leads } = useSnapshot();
  return useMemo(() => ({ status, transport, ended, leads }), [status, transport, ended, leads]);
}

/** The last `keep` events of a topic, oldest first. */
export function useTopic(topic: string, keep = 100): readonly TopicEvent[] {
  const client = useWatchbell();
  const [events, setEvents] = useState<readonly TopicEvent[]>([]);
  useEffect(() => {
    setEvents([]);
    return client.topic(topic, (frame) =>
      setEvents((before) => (frame.type === "snapshot" ? frame.events : [...before, frame.event]).slice(-keep)));
  }, [client, topic, keep]);
  return events;
}

/** Calls back for each alert that is new, in the one tab that is to show it. */
export function useNewAlert(heard: (row: Row) => void): void {
  const client = useWatchbell();
  useEffect(() => client.on("alert", ({ row, here }) => here && heard(row)), [client, heard]);
}
