"""Mints the token with which a user's browser or app opens their inbox.

    python user_token.py ana

Reads WATCHBELL_JWT_SECRET (the secret of `auth.hs256_secret`) and WATCHBELL_TENANT. Needs PyJWT.
Your backend does this for whoever is signed in there, and for nobody else.
"""

import os
import sys
import time

import jwt

LIFETIME_S = 15 * 60


def user_token(secret: str, tenant: str, user: str) -> str:
    now = int(time.time())
    claims = {
        "sub": user,
        "tenant": tenant,
        "iat": now,
        "exp": now + LIFETIME_S,
        "topics": ["monitor:*"],  # What may be read beside the inbox; leave it out where there are no topics.
    }
    return jwt.encode(claims, secret, algorithm="HS256")


if __name__ == "__main__":
    print(user_token(os.environ["WATCHBELL_JWT_SECRET"], os.environ["WATCHBELL_TENANT"], sys.argv[1]))
