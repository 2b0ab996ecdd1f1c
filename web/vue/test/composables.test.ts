// @vitest-environment happy-dom
/** The Vue composables over a session whose answers are written down before. */
import { type Ref, createApp, createSSRApp, defineComponent, h, nextTick, ref } from "vue";
import { renderToString } from "vue/server-renderer";
import { expect, test } from "vitest";
import { provideWatchbell, useAlerts, useConnection, useInbox, useNewAlert, useTopic, useUnread, watchbell } from "@watchbell/vue";
import { pageOf, rowOf } from "../../client/test/rows.ts";
import { scripted } from "../../client/test/session.ts";

/** Draws one component below a provider; answers its node and how to unmount it. */
function render(session: ReturnType<typeof scripted>, setup: () => () => unknown) {
  const Inner = defineComponent({ setup: () => { const text = setup(); return () => h("p", String(text())); } });
  const app = createApp({ setup: () => { provideWatchbell(session.client); return () => h(Inner); } });
  const node = document.createElement("div");
  app.mount(node);
  return { node, unmount: () => app.unmount() };
}

test("the inbox, the badge and the connection follow the session, which is started and stopped", async () => {
  const session = scripted();
  let inbox: ReturnType<typeof useAlerts> | undefined;
  const { node, unmount } = render(session, () => {
    inbox = useAlerts();
    const { alerts, loaded } = inbox;
    const [unread, connection] = [useUnread(), useConnection()];
    return () => `${connection.value.status} ${unread.value} ${loaded.value} ${alerts.value.map(({ alert }) => alert.title).join()}`;
  });
  expect(node.textContent).toBe("live 0 true ");
  session.set({ status: "offline", unread: 2, alerts: [rowOf(2), rowOf(1)] });
  await nextTick();
  expect(node.textContent).toBe("offline 2 true Alert 2,Alert 1");
  inbox?.dismiss("a1");
  inbox?.snooze(new Date(0), "a2");
  expect(session.said).toEqual([[["a1"], "dismissed"], [["a2"], "snoozed", new Date(0)]]);
  unmount();
  expect(session.calls).toEqual(["start", "stop"]);
  expect(session.listeners()).toBe(0);
});

test("a list of one's own: pages, what is done at once, a query that changes", async () => {
  const session = scripted([pageOf(2, rowOf(3), rowOf(2)), pageOf(null, rowOf(1)), pageOf(null, rowOf(9, "dismissed"))]);
  const state: Ref<"unread" | "archived"> = ref("unread");
  let list: ReturnType<typeof useInbox> | undefined;
  const { node, unmount } = render(session, () => {
    list = useInbox(() => ({ state: state.value }));
    const { rows, loading, hasMore } = list;
    return () => `${loading.value ? "loading " : ""}${rows.value.map(({ alert }) => alert.id).join()}${hasMore.value ? " more" : ""}`;
  });
  await nextTick();
  expect(node.textContent).toBe("loading ");
  await session.answered();
  expect(node.textContent).toBe("a3,a2 more");
  await list?.more();
  await nextTick();
  expect(node.textContent).toBe("a3,a2,a1");
  list?.read("a3");
  await nextTick();
  expect(node.textContent).toBe("a2,a1");
  state.value = "archived";
  await nextTick();
  await session.answered(3);
  expect(node.textContent).toBe("a9");
  expect(session.asked).toEqual(["/v1/inbox?state=unread", "/v1/inbox?state=unread&before=2", "/v1/inbox?state=archived"]);
  unmount();
  expect(session.listeners()).toBe(0);
});

test("a topic's last events, of another topic when it changes, and alerts that are new here", async () => {
  const session = scripted();
  const [name, news] = [ref("monitor:7"), [] as string[]];
  const { node } = render(session, () => {
    const events = useTopic(name, 2);
    useNewAlert(({ alert }) => void news.push(alert.id));
    return () => events.value.map(({ data }) => String(data)).join();
  });
  await nextTick();
  const event = (topic: string, data: string) => ({ type: "event" as const, topic, event: { topic, data } });
  for (const data of ["a", "b", "c"]) session.publish(event("monitor:7", data));
  await nextTick();
  expect(node.textContent).toBe("b,c");
  name.value = "monitor:8";
  await nextTick();
  session.publish(event("monitor:7", "d"));
  session.publish(event("monitor:8", "e"));
  await nextTick();
  expect(node.textContent).toBe("e");
  session.emit("alert", { row: rowOf(1), here: true });
  session.emit("alert", { row: rowOf(2), here: false });
  expect(news).toEqual(["a1"]);
});

test("a server draws what is known, subscribes to nothing and asks for nothing", async () => {
  const session = scripted();
  const app = createSSRApp({ setup: () => {
    const [{ rows }, unread] = [useInbox({ state: "open" }), useUnread()];
    useTopic("monitor:7");
    return () => h("p", `${rows.value.length} ${unread.value}`);
  } });
  app.use(watchbell, session.client);
  expect(await renderToString(app)).toBe("<p>0 0</p>");
  expect([session.asked, session.calls, session.listeners()]).toEqual([[], [], 0]);
});
