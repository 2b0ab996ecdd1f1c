// Mints the token with which a user's browser or app opens their inbox. Needs jose.
//
//     node user-token.js ana
//
// Reads WATCHBELL_JWT_SECRET (the secret of `auth.hs256_secret`) and WATCHBELL_TENANT from its environment.
// Your backend does this for whoever is signed in there, and for nobody else.

import { SignJWT } from "jose";

export function userToken(secret, tenant, user) {
  // Topics are what may be read beside the inbox; leave the claim out where there are none.
  return new SignJWT({ tenant, topics: ["monitor:*"] })
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime("15 minutes")
    .sign(new TextEncoder().encode(secret));
}

const { WATCHBELL_JWT_SECRET, WATCHBELL_TENANT } = process.env;
console.log(await userToken(WATCHBELL_JWT_SECRET, WATCHBELL_TENANT, process.argv[2]));
