"use client";
import { Watchbell } from "@watchbell/client";
import { WatchbellProvider, useInbox, useUnread } from "@watchbell/react";
import { useEffect, useRef, useState } from "react";

/** The session, for everything below. The server draws it, too, so the client is given its address and is started in the browser. */
export function Inbox({ url }) {
  const [client] = useState(() => new Watchbell({ url, token: () => fetch("/token").then((answer) => answer.text()) }));
  return (
    <WatchbellProvider client={client}>
      <Bell client={client} />
      <List />
    </WatchbellProvider>
  );
}

/** The element is defined in the browser; what was given to it before that would be lost. */
function Bell({ client }) {
  const element = useRef(null);
  useEffect(() => {
    import("@watchbell/inbox").then(() => {
      if (element.current) element.current.client = client;
    });
  }, [client]);
  return <watchbell-inbox ref={element} />;
}

/** A list of one's own. */
function List() {
  const unread = useUnread();
  const { rows, hasMore, more, dismiss } = useInbox({ state: "open" });
  return (
    <section>
      <p id="unread">{unread} unread</p>
      <ul id="list">{rows.map(({ alert }) => <li key={alert.id}>{alert.title} <button onClick={() => dismiss(alert.id)}>Archive</button></li>)}</ul>
      {hasMore && <button onClick={more}>More</button>}
    </section>
  );
}
