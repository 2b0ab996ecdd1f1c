// Publishes an alert to Watchbell over HTTP, and ends it. Needs the standard library alone.
//
//	go run ./http fire example-go-http ana
//	go run ./http resolve example-go-http
//
// Reads WATCHBELL_URL and WATCHBELL_KEY from its environment.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	triesMax     = 8
	waitMin      = 250 * time.Millisecond
	waitMax      = 30 * time.Second
	timeout      = 10 * time.Second
	answerMaxLen = 64 << 10
)

type audience struct {
	Users []string `json:"users,omitempty"`
}

type alert struct {
	ID       string   `json:"id"`
	Version  int      `json:"version"`
	To       audience `json:"to"`
	Title    string   `json:"title"`
	Severity string   `json:"severity"`
	Status   string   `json:"status"`
}

type producer struct {
	client   *http.Client
	url, key string
}

// publish returns once the alert is durable (202). Every try has the same id, so however many arrive, it is told once.
func (p producer) publish(a alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var reason error
	var atLeast time.Duration
	for failed := 0; failed < triesMax; failed++ {
		if failed > 0 {
			time.Sleep(atLeast + backoff(failed))
		}
		var again bool
		again, atLeast, reason = p.try(body)
		if reason == nil || !again {
			break
		}
	}
	if reason != nil {
		return fmt.Errorf("%s was not accepted: %w", a.ID, reason)
	}
	return nil
}

// try publishes once. After an error it says whether to try again, and how long to wait at least.
func (p producer) try(body []byte) (again bool, atLeast time.Duration, err error) {
	request, err := http.NewRequest(http.MethodPost, p.url+"/v1/alerts", bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return true, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerMaxLen))
	if response.StatusCode == http.StatusAccepted {
		return false, 0, nil
	}
	if err == nil {
		err = fmt.Errorf("%s: %s", response.Status, problemOf(answer))
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// It may or may not have been accepted: publishing it again is harmless.
		return true, retryAfter(response), err
	default:
		// What is wrong with the alert stays wrong: `field` and `detail` in the answer say what it is.
		return false, 0, err
	}
}

// problemOf is what the answer says is wrong, in one line. A proxy's answer has no such document.
func problemOf(answer []byte) string {
	var problem struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(answer, &problem) != nil {
		return "the answer is no problem document"
	}
	if problem.Field != "" {
		return problem.Field + ": " + problem.Detail
	}
	return problem.Detail
}

func retryAfter(response *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, waitMax)
}

// backoff is random up to a bound that doubles, so that producers that failed together do not come back together.
func backoff(failed int) time.Duration {
	return time.Duration(rand.Int63n(int64(min(waitMin<<failed, waitMax))))
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: http fire|resolve ID [USER...]")
	}
	rand.Seed(time.Now().UnixNano())
	a := alert{ID: os.Args[2], Title: "Disk full on db-1", Severity: "critical"}
	if os.Args[1] == "fire" {
		a.Version, a.Status, a.To.Users = 1, "firing", os.Args[3:]
	} else {
		// A later version needs no audience: it reaches everybody who holds the alert.
		a.Version, a.Status = 2, "resolved"
	}
	p := producer{
		client: &http.Client{Timeout: timeout},
		url:    os.Getenv("WATCHBELL_URL"),
		key:    os.Getenv("WATCHBELL_KEY"),
	}
	if err := p.publish(a); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("accepted %s version %d\n", a.ID, a.Version)
}
