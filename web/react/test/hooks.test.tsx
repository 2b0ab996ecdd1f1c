// @vitest-environment happy-dom
/** The React hooks, in strict mode, over a session whose answers are written down before. */
import { type ReactNode, StrictMode, act } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Row } from "@watchbell/client";
import { type ListQuery, WatchbellProvider, useAlerts, useConnection, useInbox, useNewAlert, useTopic, useUnread } from "@watchbell/react";
import { pageOf, rowOf } from "../../client/test/rows.ts";
import { scripted } from "../../client/test/session.ts";

beforeAll(() => { (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true; });
let unmount = () => {};
afterEach(() => act(() => unmount()));

type Session = ReturnType<typeof scripted>;

function render(session: Session, children: ReactNode) {
  const node = document.createElement("div");
  const root = createRoot(node);
  unmount = () => root.unmount();
  const draw = (all: ReactNode) => act(() => root.render(<StrictMode><WatchbellProvider client={session.client}>{all}</WatchbellProvider></StrictMode>));
  draw(children);
  return { node, draw };
}

test("the inbox, the badge and the connection follow the session, and the provider starts and stops it", () => {
  const session = scripted();
  function Show() {
    const { alerts, dismiss, snooze, more } = useAlerts();
    const { status } = useConnection();
    return <p onClick={() => { dismiss("a1"); snooze(new Date(0), "a2"); more(); }}>{status} {useUnread()} {alerts.map(({ alert }) => alert.title).join()}</p>;
  }
  const { node } = render(session, <Show />);
  expect(node.textContent).toBe("live 0 ");
  act(() => session.set({ status: "offline", unread: 2, alerts: [rowOf(2), rowOf(1)] }));
  expect(node.textContent).toBe("offline 2 Alert 2,Alert 1");
  act(() => node.querySelector("p")?.click());
  expect(session.said).toEqual([[["a1"], "dismissed"], [["a2"], "snoozed", new Date(0)]]);
  act(() => unmount());
  unmount = () => {};
  expect(session.calls).toEqual(["start", "stop", "start", "more", "stop"]);
  expect(session.listeners()).toBe(0);
});

test("a list of one's own: pages, what is done at once, another query", async () => {
  const session = scripted([pageOf(2, rowOf(3), rowOf(2)), pageOf(null, rowOf(1)), pageOf(null, rowOf(9, "dismissed"))]);
  function List({ query }: { query: ListQuery }) {
    const { rows, loading, hasMore, more, read } = useInbox(query);
    return <p onClick={() => void more()} onDoubleClick={() => read("a3")}>{loading ? "loading " : ""}{rows.map(({ alert }) => alert.id).join()}{hasMore ? " more" : ""}</p>;
  }
  const { node, draw } = render(session, <List query={{ state: "unread" }} />);
  const settled = (count: number) => act(() => session.answered(count));
  expect(node.textContent).toBe("loading ");
  await settled(1);
  expect(node.textContent).toBe("a3,a2 more");
  act(() => node.querySelector("p")?.click());
  await settled(2);
  expect(node.textContent).toBe("a3,a2,a1");
  act(() => void node.querySelector("p")?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true })));
  expect(node.textContent).toBe("a2,a1");
  // The same content in a new object is the same list.
  draw(<List query={{ state: "unread" }} />);
  expect(session.asked).toEqual(["/v1/inbox?state=unread", "/v1/inbox?state=unread&before=2"]);
  draw(<List query={{ state: "archived" }} />);
  await settled(3);
  expect(node.textContent).toBe("a9");
  expect(session.asked[2]).toBe("/v1/inbox?state=archived");
});

test("a topic's last events, and alerts that are new here", () => {
  const session = scripted();
  const news: Row[] = [];
  const heard = (row: Row) => void news.push(row);
  function Topic() {
    useNewAlert(heard);
    return <p>{useTopic("monitor:7", 2).map(({ data }) => String(data)).join()}</p>;
  }
  const { node } = render(session, <Topic />);
  const event = (data: string) => ({ topic: "monitor:7", data });
  act(() => session.publish({ type: "snapshot", topic: "monitor:7", events: [event("a"), event("b"), event("c")] }));
  act(() => session.publish({ type: "event", topic: "monitor:7", event: event("d") }));
  expect(node.textContent).toBe("c,d");
  session.emit("alert", { row: rowOf(1), here: true });
  session.emit("alert", { row: rowOf(2), here: false });
  expect(news.map(({ alert }) => alert.id)).toEqual(["a1"]);
});

test("a server draws what is known and asks for nothing", () => {
  const session = scripted();
  function List() {
    const { rows, loading } = useInbox({ state: "open" });
    return <p>{String(loading)} {rows.length} {useUnread()}</p>;
  }
  const html = renderToString(<WatchbellProvider client={session.client}><List /></WatchbellProvider>);
  expect(html.replace(/<!-- -->/g, "")).toBe("<p>false 0 0</p>");
  expect(session.asked).toEqual([]);
  expect(session.calls).toEqual([]);
});
