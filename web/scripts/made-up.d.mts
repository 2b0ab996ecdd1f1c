/** Serves the page with the inbox over a session that is made up. */
export function servePage(): Promise<{ url: string; close(): void }>;
