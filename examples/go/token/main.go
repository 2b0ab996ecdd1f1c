// Mints the token with which a user's browser or app opens their inbox. Needs golang-jwt.
//
//	go run ./token ana
//
// Reads WATCHBELL_JWT_SECRET (the secret of `auth.hs256_secret`) and WATCHBELL_TENANT from its environment.
// Your backend does this for whoever is signed in there, and for nobody else.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

const lifetime = 15 * time.Minute

type claims struct {
	jwt.RegisteredClaims
	Tenant string `json:"tenant"`
	// What may be read beside the inbox; left out where there are no topics.
	Topics []string `json:"topics,omitempty"`
}

func userToken(secret []byte, tenant, user string) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   user,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Tenant: tenant,
		Topics: []string{"monitor:*"},
	}).SignedString(secret)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: token USER")
	}
	token, err := userToken([]byte(os.Getenv("WATCHBELL_JWT_SECRET")), os.Getenv("WATCHBELL_TENANT"), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
}
