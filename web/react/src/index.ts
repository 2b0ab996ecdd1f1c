/** React hooks over one session. The client is made and started by the app, and given by `<WatchbellProvider>`. */
import type { Row, Snapshot, TopicEvent, Watchbell } from "@watchbell/client";
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
  const does = useMemo(() => {
    const say = (state: "seen" | "read" | "dismissed" | "unread") => (...ids: string[]) => client.say(ids, state);
    return { seen: say("seen"), read: say("read"), dismiss: say("dismissed"), unread: say("unread"), snooze: (until: Date, ...ids: string[]) => client.say(ids, "snoozed", until), readAll: () => client.readAll(), more: () => client.more() };
  }, [client]);
  return { alerts, loaded, hasMore, ...does };
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
