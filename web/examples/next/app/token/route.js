/** Your app makes a JWT for whoever is signed in. `watchbell up` has one for each of its people. */
export const dynamic = "force-dynamic";

export function GET() {
  return new Response(process.env.WATCHBELL_TOKEN);
}
