import { env } from "$env/dynamic/private";

/** The address is read when the page is asked for, not when it is built. */
export const load = () => ({ url: env.WATCHBELL_URL });
