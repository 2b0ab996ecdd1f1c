// In the browser only, and before anything is mounted: `<watchbell-inbox>` is defined.
import "@watchbell/inbox";

export default defineNuxtPlugin(() => {});
