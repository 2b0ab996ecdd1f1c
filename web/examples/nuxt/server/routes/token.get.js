/** Your app makes a JWT for whoever is signed in. `watchbell up` has one for each of its people. */
export default defineEventHandler((event) => useRuntimeConfig(event).watchbellToken);
