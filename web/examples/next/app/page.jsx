import { Inbox } from "./inbox.jsx";

// The address is read when the page is asked for, not when it is built.
export const dynamic = "force-dynamic";

export default function Page() {
  return (
    <main>
      <h1>Next.js</h1>
      <Inbox url={process.env.WATCHBELL_URL} />
    </main>
  );
}
