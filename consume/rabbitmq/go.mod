module github.com/onlyonce-go/onlyonce/consume/rabbitmq

go 1.26.0

require (
	github.com/onlyonce-go/onlyonce v0.0.0-00010101000000-000000000000
	github.com/rabbitmq/amqp091-go v1.16.0
	go.uber.org/goleak v1.3.0
)

require github.com/stretchr/testify v1.12.1 // indirect

replace github.com/onlyonce-go/onlyonce => ../..
