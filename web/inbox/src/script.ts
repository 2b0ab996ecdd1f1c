/**
 * For a `<script>` tag: the element and the client in one file. It defines `<watchbell-inbox>`, and as the global `watchbell`
 * it offers what `@watchbell/client` and `@watchbell/inbox` export.
 */
export * from "@watchbell/client";
export * from "./index.ts";
