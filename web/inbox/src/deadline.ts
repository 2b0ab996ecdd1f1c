/** Whatever is awaited of the browser has a deadline: some of its parts never answer. */

/** What was promised, or a rejection with these words when it takes longer. */
export function within<T>(ms: number, words: string, promised: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(words)), ms); });
  return Promise.race([promised, late]).finally(() => clearTimeout(timer));
}
