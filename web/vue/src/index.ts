/**
 * Vue composables over one session. The client is made by the app and given by `app.use(watchbell, client)`, or by
 * `provideWatchbell(client)` in a component for those below it, which starts it, too, and stops it when it goes.
 * On a server nothing is subscribed to and nothing is asked.
 */
import type { Row, Snapshot, TopicEvent, Watchbell } from "@watchbell/client";
import { type ListQuery, acts, listInbox } from "@watchbell/client/list";
import { type App, type ComputedRef, type InjectionKey, type MaybeRefOrGetter, type ShallowRef, computed, inject, onMounted, onUnmounted, provide, shallowRef, toValue, watchPostEffect } from "vue";

export type { ListQuery } from "@watchbell/client/list";

const KEY: InjectionKey<Watchbell> = Symbol("watchbell");

/** A plugin: gives the client to every component. The app starts it. */
export const watchbell = {
  install(app: Pick<App, "provide">, client: Watchbell): void {
    app.provide(KEY, client);
  },
};

/** Gives the client to the components below this one. Starts it when this one is mounted, and stops it when it goes. */
export function provideWatchbell(client: Watchbell): void {
  provide(KEY, client);
  onMounted(() => client.start());
  onUnmounted(() => client.stop());
}

export function useWatchbell(): Watchbell {
  const client = inject(KEY, null);
  if (!client) throw new Error("useWatchbell needs app.use(watchbell, client), or provideWatchbell(client) above it");
  return client;
}

export function useSnapshot(): Readonly<ShallowRef<Snapshot>> {
  const client = useWatchbell();
  return kept(() => client);
}

/** The inbox, and what can be done with it. */
export function useAlerts() {
  const client = useWatchbell();
  const shown = useSnapshot();
  return {
    alerts: computed(() => shown.value.alerts), loaded: computed(() => shown.value.loaded), hasMore: computed(() => shown.value.hasMore),
    ...acts((...said) => client.say(...said)), readAll: () => client.readAll(), more: () => client.more(),
  };
}

/**
 * A list of one's own: the alerts that the query finds, page by page from the server, kept true by the session. What is done
 * shows at once. The query may be a ref or a getter: when it changes, so does the list.
 */
export function useInbox(query: MaybeRefOrGetter<ListQuery> = {}) {
  const client = useWatchbell();
  const content = computed(() => JSON.stringify(toValue(query)));
  const list = computed(() => listInbox(client, JSON.parse(content.value) as ListQuery));
  const shown = kept(() => list.value);
  return {
    rows: computed(() => shown.value.rows), loading: computed(() => shown.value.loading), error: computed(() => shown.value.error), hasMore: computed(() => shown.value.hasMore),
    ...acts((...said) => list.value.say(...said)), more: () => list.value.more(), refresh: () => list.value.refresh(),
  };
}

export function useUnread(): ComputedRef<number> {
  const shown = useSnapshot();
  return computed(() => shown.value.unread);
}

export function useConnection(): ComputedRef<Pick<Snapshot, "status" | "transport" | "ended" | "leads">> {
  const shown = useSnapshot();
  return computed(() => {
    const { status, transport, ended, leads } = shown.value;
    return { status, transport, ended, leads };
  });
}

/** The last `keep` events of a topic, oldest first. */
export function useTopic(topic: MaybeRefOrGetter<string>, keep = 100): Readonly<ShallowRef<readonly TopicEvent[]>> {
  const client = useWatchbell();
  const events = shallowRef<readonly TopicEvent[]>([]);
  watchPostEffect((stop) => {
    events.value = [];
    let all: readonly TopicEvent[] = [];
    stop(client.topic(toValue(topic), (frame) => {
      events.value = all = (frame.type === "snapshot" ? frame.events : [...all, frame.event]).slice(-keep);
    }));
  });
  return events;
}

/** Calls back for each alert that is new, in the one tab that is to show it. */
export function useNewAlert(heard: (row: Row) => void): void {
  const client = useWatchbell();
  watchPostEffect((stop) => stop(client.on("alert", ({ row, here }) => here && heard(row))));
}

/** What a source knows, as it changes. An effect after drawing is one that a server never runs. */
function kept<T>(source: () => { readonly snapshot: T; subscribe(changed: () => void): () => void }): ShallowRef<T> {
  const shown = shallowRef(source().snapshot) as ShallowRef<T>;
  watchPostEffect((stop) => {
    const now = source();
    const take = () => { shown.value = now.snapshot; };
    stop(now.subscribe(take));
    take();
  });
  return shown;
}
