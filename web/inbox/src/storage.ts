/** What this browser keeps. Where it may not, or there is no room, it is kept until the page is left. */

const kept = new Map<string, string>();

export function stored<T>(name: string): T | null {
  try {
    return JSON.parse(kept.get(name) ?? localStorage.getItem(name) ?? "null") as T | null;
  } catch {
    return null; // Nothing may be read here, or something else wrote it.
  }
}

export function store(name: string, value: unknown): void {
  const text = JSON.stringify(value);
  kept.delete(name);
  try {
    localStorage.setItem(name, text);
  } catch {
    kept.set(name, text);
  }
}
