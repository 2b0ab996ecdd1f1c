module example.com/watchbell-examples

go 1.19

require (
	github.com/golang-jwt/jwt/v4 v4.5.2
	github.com/rabbitmq/amqp091-go v1.10.0
)
