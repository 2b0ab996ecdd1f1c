/** Seen is what was really on a screen: most of it in view, in a visible page, for a second. */
import type { Watchbell } from "./client.ts";

const SHARE = 0.6;
const FOR_MS = 1_000;

export interface SeenWatcher {
  /** Watches an element that shows this alert. */
  observe(element: Element, alert: string): void;
  unobserve(element: Element): void;
  close(): void;
}

export function watchSeen(client: Watchbell): SeenWatcher {
  const ids = new Map<Element, string>();
  const timers = new Map<Element, ReturnType<typeof setTimeout>>();
  const inView = new Set<Element>();
  const forget = (element: Element) => {
    clearTimeout(timers.get(element));
    timers.delete(element);
  };
  const look = (element: Element) => {
    const isShown = inView.has(element) && document.visibilityState === "visible";
    if (!isShown) return forget(element);
    if (!timers.has(element)) timers.set(element, setTimeout(() => seen(element), FOR_MS));
  };
  const seen = (element: Element) => {
    const id = ids.get(element);
    const row = client.snapshot.alerts.find((row) => row.alert.id === id);
    timers.delete(element);
    if (row?.state === "new") client.say([row.alert.id], "seen");
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target);
      else inView.delete(target);
      look(target);
    }
  }, { threshold: SHARE });
  const turned = () => inView.forEach(look);
  document.addEventListener("visibilitychange", turned);
  return {
    observe(element, alert) {
      if (ids.get(element) === alert) return look(element); // It may be new again.
      ids.set(element, alert);
      observer.observe(element);
    },
    unobserve(element) {
      observer.unobserve(element);
      inView.delete(element);
      forget(element);
      ids.delete(element);
    },
    close() {
      observer.disconnect();
      document.removeEventListener("visibilitychange", turned);
      for (const element of timers.keys()) forget(element);
    },
  };
}
