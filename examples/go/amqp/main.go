// Publishes an alert to Watchbell over RabbitMQ, and ends it. Needs amqp091-go.
//
//	go run ./amqp fire example-go-amqp ana
//	go run ./amqp resolve example-go-amqp
//
// Reads WATCHBELL_AMQP_URL and WATCHBELL_TENANT from its environment.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	exchange   = "watchbell.alerts"
	triesMax   = 8
	waitMin    = 250 * time.Millisecond
	waitMax    = 30 * time.Second
	confirmMax = 10 * time.Second
)

type audience struct {
	Users []string `json:"users,omitempty"`
}

type alert struct {
	Tenant   string   `json:"tenant"`
	ID       string   `json:"id"`
	Version  int      `json:"version"`
	To       audience `json:"to"`
	Title    string   `json:"title"`
	Severity string   `json:"severity"`
	Status   string   `json:"status"`
}

// publish returns once the broker has confirmed the alert. A program that publishes often keeps the connection.
func publish(url string, a alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	message := amqp.Publishing{
		MessageId:    fmt.Sprintf("%s.%d", a.ID, a.Version),
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		Body:         body,
	}
	var reason error
	for failed := 0; failed < triesMax; failed++ {
		if failed > 0 {
			time.Sleep(backoff(failed))
		}
		// After an error it may have arrived all the same. The id and the version stay, so that publishing again
		// is harmless.
		if reason = try(url, message); reason == nil {
			return nil
		}
	}
	return fmt.Errorf("%s was not confirmed: %w", a.ID, reason)
}

func try(url string, message amqp.Publishing) error {
	connection, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(confirmMax)})
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))

	ctx, cancel := context.WithTimeout(context.Background(), confirmMax)
	defer cancel()
	const mandatory, immediate = true, false
	if err := channel.PublishWithContext(ctx, exchange, "", mandatory, immediate, message); err != nil {
		return err
	}
	select {
	case confirm, ok := <-confirms:
		if !ok {
			return errors.New("the channel was closed")
		}
		if !confirm.Ack {
			return errors.New("the broker refused it")
		}
	case err := <-closed:
		return fmt.Errorf("the connection was closed: %v", err)
	case <-ctx.Done():
		return errors.New("no confirm in time")
	}
	// `mandatory`: an exchange without a queue gives the alert back, before the confirm, instead of dropping it.
	select {
	case <-returned:
		return errors.New("no queue took it")
	default:
		return nil
	}
}

// backoff is random up to a bound that doubles, so that producers that failed together do not come back together.
func backoff(failed int) time.Duration {
	bound := waitMin << failed
	if bound > waitMax {
		bound = waitMax
	}
	return time.Duration(rand.Int63n(int64(bound)))
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: amqp fire|resolve ID [USER...]")
	}
	rand.Seed(time.Now().UnixNano())
	a := alert{
		Tenant:   os.Getenv("WATCHBELL_TENANT"),
		ID:       os.Args[2],
		Title:    "Disk full on db-1",
		Severity: "critical",
	}
	if os.Args[1] == "fire" {
		a.Version, a.Status, a.To.Users = 1, "firing", os.Args[3:]
	} else {
		// A later version needs no audience: it reaches everybody who holds the alert.
		a.Version, a.Status = 2, "resolved"
	}
	if err := publish(os.Getenv("WATCHBELL_AMQP_URL"), a); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("accepted %s version %d\n", a.ID, a.Version)
}
