/** The file for a `<script>` tag, and what its `integrity` has to be. */
export function bundleScript(outDir?: string): Promise<{ code: string; integrity: string }>;
/** The hash that the README's snippet shows. */
export function shownIntegrity(): Promise<string | undefined>;
