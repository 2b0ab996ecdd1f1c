/** What this browser keeps. Where it may not, or there is no room, it is kept until the page is left. */

const kept = new Map<string, string>();

export function storedText(name: string): string | null {
  try {
    return kept.get(name) ?? localStorage.getItem(name);
  } catch {
    return null; // Nothing may be read here.
  }
}

export function storeText(name: string, text: string): void {
  kept.delete(name);
  try {
    localStorage.setItem(name, text);
  } catch {
    kept.set(name, text);
  }
}

export function stored<T>(name: string): T | null {
  try {
    return JSON.parse(storedText(name) ?? "null") as T | null;
  } catch {
    return null; // Something else wrote it.
  }
}

export function store(name: string, value: unknown): void {
  storeText(name, JSON.stringify(value));
}
