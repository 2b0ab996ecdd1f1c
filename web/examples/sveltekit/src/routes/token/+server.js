import { env } from "$env/dynamic/private";

/** Your app makes a JWT for whoever is signed in. `watchbell up` has one for each of its people. */
export const GET = () => new Response(env.WATCHBELL_TOKEN);
